"""The virtual data center: machines, BMCs and networks built from the data center file, in namespaces of this host."""
