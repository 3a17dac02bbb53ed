"""Drift: facts of hosts, clusters and BMCs against the reviewed file and the signed baseline of the last converge.

kind.py      what is known of one kind of item: severities, repair, closed places
facts/       kinds that a host is asked for: a shell command and a parser each
outside/     kinds that the Kubernetes API, the mirror and BMCs are asked for
baseline.py  the signed baseline: what a converge left, in the journal with its history
desired.py   what a host should look like, from its baseline and the file
collector.py facts of many hosts, through collector_process.py, a process of its own that speaks ssh by pyinfra
compare.py   pure: desired against facts
classify.py  a difference as a finding: severity, owner, repair, next command
scan.py      all of these for many hosts; and the signing of new baselines
history.py   findings in the journal, since when
repair.py    extra variables for the converge of hosts with drift
"""
