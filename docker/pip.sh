#!/bin/sh
# pip for the image's interpreter, which is there only for as long as it installs something.
set -eu
python3 -m venv /tmp/pip
/tmp/pip/bin/pip --python /opt/embedrun/bin/python "$@"
rm -rf /tmp/pip
