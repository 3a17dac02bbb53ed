# Runs inside mmdebstrap when all packages are configured; "$1" is the root. What is common to every node, and no secret.
set -eu
root="$1"

# Nodes never talk to the internet, and the mirror this machine builds from is nobody else's business: a role names a site's
# own package mirror where there is one.
rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*

# Identity is made at install, on the machine itself.
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" "$root/var/lib/systemd/random-seed"
: > "$root/etc/machine-id"
echo localhost > "$root/etc/hostname"
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' > "$root/etc/hosts"
: > "$root/etc/resolv.conf"
chroot "$root" passwd --quiet --lock root

chroot "$root" systemctl --quiet enable systemd-networkd.service ssh.service
# Installed for roles that want them; nothing may listen or announce before that.
chroot "$root" systemctl --quiet disable bird.service haproxy.service keepalived.service
# Nodes change when a person says so, and never talk to the internet.
chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer
# Host keys come from the agent, which pins them; this would add others at boot that nobody knows.
chroot "$root" systemctl --quiet disable e2scrub_all.timer e2scrub_reap.service sshd-keygen.service
# Nobody has a password to type there, and its console is for reading.
chroot "$root" systemctl --quiet mask serial-getty@ttyS0.service

# Profiles of desktop programs would be compiled at each first boot: a minute on a slow machine, for nothing.
find "$root/etc/apparmor.d" -maxdepth 1 -type f ! -name runc ! -name crun ! -name unix-chkpwd -delete

kernel=$(basename "$root"/boot/vmlinuz-*); kernel=${kernel#vmlinuz-}
sed -i "s/@KERNEL@/$kernel/g" "$root/boot/grub/grub.cfg"
: > "$root/etc/grub.d/enable_cloud"   # from now on Debian's package keeps the boot loader current

chroot "$root" dpkg-query --show --showformat '${Package}=${Version}\n' | LC_ALL=C sort > "$root/usr/share/bmk-packages"
rm -rf "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old "$root"/var/cache/ldconfig/aux-cache
find "$root/var/log" -type f -delete
mkdir -p "$root/var/log/journal"
# What systemd does at the first boot after /usr changed was done by the packages just now.
touch "$root/etc/.updated" "$root/var/.updated"
