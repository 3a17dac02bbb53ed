"""What is no longer as the reviewed file and the last converge left it: facts, comparison, history, reports.

seal.py      what a converge left, signed and kept in the journal: the desired state (nothing is declared again)
facts/       one file per fact: a shell command and a parser
gather.py    asks hosts, through `asker.py`, a process of its own that speaks ssh by pyinfra
compare.py   pure: desired against facts
judge.py     how bad a difference is, who owns it, what to type: rules as data
history.py   since when; what runs found
"""
