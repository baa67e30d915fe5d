#!/bin/sh
# pip for the image's interpreter, there only for as long as it installs something; and so is a compiler, where
# BUILD_PACKAGES names Debian's packages for one.
set -eu

if [ -n "${BUILD_PACKAGES-}" ]; then
    kept=$(apt-mark showmanual)
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $BUILD_PACKAGES
fi

python3 -m venv /tmp/pip
/tmp/pip/bin/pip --python /opt/embedrun/bin/python "$@"
rm -rf /tmp/pip

if [ -n "${BUILD_PACKAGES-}" ]; then
    apt-mark auto $BUILD_PACKAGES > /dev/null
    [ -z "$kept" ] || apt-mark manual $kept > /dev/null
    apt-get purge -y --auto-remove
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
fi
