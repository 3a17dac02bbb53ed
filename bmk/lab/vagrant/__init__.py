"""Machines of a lab that Vagrant makes by libvirt, for molecule."""
