"""What a lab takes of the host: namespaces, cgroups, bridges, the unpacked node root; and what the host lacks."""
