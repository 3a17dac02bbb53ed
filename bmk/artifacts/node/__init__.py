"""Debian trees, disks and ramdisks: what the builders of the node image and of the install ramdisk are made of."""
