"""The container image: packed from what is installed, built, found and described."""
