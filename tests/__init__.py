"""The tests: a package, because python-fedora installs one of that name that would be found."""
