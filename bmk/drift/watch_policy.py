"""What is watched on every host besides what roles write: places where a stranger, or a careless hand, leaves things.

Data. What lies there is sealed after a converge; nobody declares it.
"""

from __future__ import annotations

# Directories in which nothing may be that was not there when the last converge ended.
OWNED = (
    "/etc/kubernetes/manifests",
    "/etc/kubernetes/bmk",
    "/etc/kubernetes/patches",
    "/etc/cni/net.d",
    "/opt/cni/bin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/etc/containerd",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/etc/systemd/network",
    "/root/.ssh",
    "/etc/sudoers.d",
    "/etc/ssh/sshd_config.d",
    "/etc/cron.d",
    "/etc/cron.daily",
    "/etc/cron.hourly",
    "/etc/cron.monthly",
    "/etc/cron.weekly",
    "/var/spool/cron/crontabs",
    "/etc/pam.d",
    "/etc/profile.d",
    "/etc/ld.so.conf.d",
    "/etc/udev/rules.d",
    "/etc/modprobe.d",
    "/etc/tmpfiles.d",
    "/etc/apt/apt.conf.d",
    "/etc/apt/sources.list.d",
    "/etc/sysctl.d",
    "/etc/modules-load.d",
)
# Files that have to stay as they were, or absent when they were.
FILES = (
    "/etc/apt/sources.list",
    "/etc/bmk/manifest.json",
    "/etc/crontab",
    "/etc/environment",
    "/etc/fstab",
    "/etc/hosts",
    "/etc/ld.so.preload",
    "/etc/nsswitch.conf",
    "/etc/rc.local",
    "/etc/ssh/sshd_config",
    "/etc/sudoers",
    "/root/.ssh/authorized_keys2",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/instance-config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
)
# Their bytes change by themselves (renewals); mode and owner do not.
LOOSE = (
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/controller-manager.conf",
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/scheduler.conf",
    "/etc/kubernetes/super-admin.conf",
    "/etc/shadow",
)
LOOSE_BELOW = ("/etc/kubernetes/pki",)

# Texts that are never kept: keys, and what is no text.
NO_TEXT = (
    "/etc/bmk/*",
    "*/bin/*",
    "*/sbin/*",
    "*.key",
    "*.pem",
    "/etc/kubernetes/*.conf",
    "/etc/kubernetes/bmk/encryption*",
    "/etc/keepalived/authentication.conf",
    "/etc/shadow",
    "/root/.ssh/id_*",
)

# Listeners that Kubernetes brings whenever it likes, on their own ports.
KUBERNETES = frozenset(
    f"listeners:tcp {port} {process}"
    for port, process in (
        (10250, "kubelet"),
        (10249, "kube-proxy"),
        (10256, "kube-proxy"),
        (6443, "kube-apiserver"),
        (6443, "haproxy"),
        (2379, "etcd"),
        (2380, "etcd"),
        (2381, "etcd"),
        (10257, "kube-controller"),
        (10259, "kube-scheduler"),
    )
)

# Attributes of each kind that are sealed; "*": all of them. What is not named here is not sealed.
SEALED = {
    "packages": ("installed", "version", "held"),
    "kernel": ("value",),
    "boot": ("value",),
    "disks": ("size",),
    "routes": ("device",),
    "nftables": ("rules",),
    "mounts": ("filesystem", "read_only", "type"),
    "users": ("uid", "shell", "password"),
    "groups": ("gid", "members"),
    "authorized_keys": ("options",),
    "containerd": ("value",),
    "certificates": ("valid", "valid_in_30_days"),
}
# What may not come in addition to what was sealed.
CLOSED = ("boot:next", "routes:*", "users:*", "authorized_keys:*", "listeners:*", "mounts:swap *")
