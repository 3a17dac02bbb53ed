"""`python -m bmk.lab.vagrant`, as molecule's playbooks call it."""

from bmk.lab.vagrant.machines import main

main()
