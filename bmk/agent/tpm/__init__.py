"""The machine's TPM 2.0, as the install ramdisk speaks to it: what is sent (`wire`) and what is asked (`commands`).

Our own: for nine commands, Debian's tpm2-tools would bring 12 MB of libraries (curl with Kerberos and LDAP) into a
ramdisk that is loaded over the network. Numbers and layouts are those of TPM 2.0, parts 2 and 3.
"""
