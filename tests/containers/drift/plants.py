"""What is done to a cluster that works: by an intruder and by a careless colleague, typed on a host by hand."""

from __future__ import annotations

from dataclasses import dataclass

KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
SCHEDULER = "/etc/kubernetes/manifests/kube-scheduler.yaml"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHfA0sYbF3xJ1H3N3mXoXf7p4VJg2ZKbq3hQm0m0m0m0 intruder"
COMPONENT = 's/^    component: kube-scheduler/&\\n    mine: "yes"/'
SAME_SIZE_AND_TIME = """
python3 - <<'END'
import os
path = "/usr/local/bin/kubectl"
before = os.stat(path)
content = bytearray(open(path, "rb").read())
content[-1] ^= 1
open(path, "wb").write(content)
os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
assert os.stat(path).st_size == before.st_size
END
"""
POLICY_KIND = "ValidatingAdmissionPolicy"
POLICY = "validatingadmissionpolicy bmk-nonroot-group"
EVE = '[{"op":"add","path":"/subjects/-","value":{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"eve"}}]'
GRANT = "--clusterrole=cluster-admin --serviceaccount=default:default"


@dataclass(frozen=True)
class Plant:
    """`words` say what is done, `script` is typed on `host`; it shows at `where` as `item` (and `field`)."""

    words: str
    host: str
    script: str
    item: str
    field: str
    severity: str
    where: str = ""

    @property
    def at(self) -> str:
        return self.where or self.host


PLANTED = (
    Plant("a static pod edited", "cp-1", f"sed -i '{COMPONENT}' {SCHEDULER}",
          f"files:{SCHEDULER}", "sha256", "security"),
    Plant("another key for root", "worker-1", f"echo '{KEY}' >> /root/.ssh/authorized_keys",
          "files:/root/.ssh/authorized_keys", "sha256", "security"),
    Plant("a setting of the kernel at run time", "worker-1", "sysctl -qw net.ipv4.conf.all.accept_redirects=1",
          "sysctls:net.ipv4.conf.all.accept_redirects", "value", "security"),
    Plant("other bytes, same size and time", "worker-1", SAME_SIZE_AND_TIME,
          "files:/usr/local/bin/kubectl", "sha256", "security"),
    Plant("a unit masked", "worker-1", "systemctl stop bird; systemctl mask bird",
          "units:bird.service", "masked", "breaking"),
    Plant("a configuration for everybody", "worker-1", "chmod 0666 /etc/containerd/config.toml",
          "files:/etc/containerd/config.toml", "mode", "security"),
    Plant("another network for pods", "worker-1", "echo '{}' > /etc/cni/net.d/99-mine.conflist",
          "files:/etc/cni/net.d/99-mine.conflist", "", "security"),
    Plant("another program in the path", "worker-1", "cp /bin/true /usr/local/bin/nc",
          "files:/usr/local/bin/nc", "", "security"),
    Plant("su without a password", "worker-1", "echo 'auth sufficient pam_permit.so' >> /etc/pam.d/su",
          "files:/etc/pam.d/su", "sha256", "security"),
    Plant("no way out for pods any more", "worker-1", "nft delete table inet bmk-masquerade",
          "nftables:inet bmk-masquerade", "", "breaking"),
    Plant("what the API server admits", "cp-1", "echo '# mine' >> /etc/kubernetes/bmk/admission.yaml",
          "files:/etc/kubernetes/bmk/admission.yaml", "sha256", "security"),
    Plant("a node relabelled", "cp-1", f"{KUBECTL} label node worker-1 example.net/zone=b --overwrite",
          "nodes:worker-1 label example.net/zone", "value", "degraded", "worker-1"),
    Plant("a node tainted", "cp-1", f"{KUBECTL} taint node worker-1 mine=yes:NoSchedule",
          "nodes:worker-1 taint mine:NoSchedule", "", "degraded", "worker-1"),
    Plant("another administrator", "cp-1", f"{KUBECTL} create clusterrolebinding rogue {GRANT}",
          "bindings:rogue", "", "security", "drift"),
    Plant("an administrator of kube-system", "cp-1", f"{KUBECTL} -n kube-system create rolebinding sly {GRANT}",
          "bindings:kube-system/sly", "", "security", "drift"),
    Plant("eve among the administrators", "cp-1",
          f"{KUBECTL} patch clusterrolebinding cluster-admin --type=json -p '{EVE}'",
          "bindings:cluster-admin", "subjects", "security", "drift"),
    Plant("a policy that lets in when in doubt", "cp-1",
          f"{KUBECTL} patch {POLICY} --type=merge -p '{{\"spec\":{{\"failurePolicy\":\"Ignore\"}}}}'",
          f"policies:{POLICY_KIND}/bmk-nonroot-group", "failurePolicy", "security", "drift"),
    Plant("a policy without its default binding", "cp-1",
          f"{KUBECTL} delete validatingadmissionpolicybinding bmk-nonroot-group-default",
          f"policies:{POLICY_KIND}Binding/bmk-nonroot-group-default", "", "security", "drift"),
)  # fmt: skip
# how one image takes the place of another under its name, and still works
SWAP = """
import hashlib, json, os, subprocess, tarfile, tempfile
def ctr(*words):
    return subprocess.run(["ctr", "-n", "k8s.io", "images", *words], check=True, capture_output=True, text=True).stdout
def blob(digest): return os.path.join(at, "blobs", *digest.split(":"))
def kept(body):
    text = json.dumps(body).encode()
    digest = "sha256:" + hashlib.sha256(text).hexdigest()
    open(blob(digest), "wb").write(text)
    return {"digest": digest, "size": len(text)}
ref = next(name for name in ctr("ls", "-q").split() if "/kube-proxy:" in name)
ctr("tag", ref, "kept.example/kube-proxy:1")
at = tempfile.mkdtemp()
ctr("export", at + ".tar", ref)
tarfile.open(at + ".tar").extractall(at)
index = json.load(open(at + "/index.json"))
manifest = json.load(open(blob(index["manifests"][0]["digest"])))
config = json.load(open(blob(manifest["config"]["digest"])))
config.setdefault("config", {})["Labels"] = {"mine": "yes"}
manifest["config"] |= kept(config)
index["manifests"][0] |= kept(manifest)
json.dump(index, open(at + "/index.json", "w"))
if os.path.exists(at + "/manifest.json"): os.unlink(at + "/manifest.json")
with tarfile.open(at + ".tar", "w") as tar: tar.add(at, "")
ctr("import", at + ".tar")
"""
RESTART = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    if open(f"/proc/{pid}/comm").read().strip() == "kube-proxy": os.kill(int(pid), signal.SIGKILL)
"""
SWAP_BACK = (
    "ctr -n k8s.io images tag --force kept.example/kube-proxy:1 $(ctr -n k8s.io images ls -q | grep /kube-proxy:v)"
)
OTHER_SETTING = """
cp -p /var/lib/kubelet/config.yaml /root/config.yaml
sed -i 's/^podPidsLimit: .*/podPidsLimit: 5000/' /var/lib/kubelet/config.yaml
systemctl restart kubelet
python3 - <<'END'
import time, urllib.request
end = time.monotonic() + 60
while time.monotonic() < end:
    try:
        urllib.request.urlopen("http://127.0.0.1:10248/healthz", None, 3)
        break
    except OSError:
        time.sleep(1)
END
mv /root/config.yaml /var/lib/kubelet/config.yaml
"""
ANSWERS = 'import socket,time; s=socket.socket(type=socket.SOCK_DGRAM); s.bind(("0.0.0.0",5353)); time.sleep(3600)'


def python(code: str) -> str:
    return f"python3 - <<'END'{code}END\n"


# what runs otherwise than files say, and how a person undoes it; nothing: `bmk provision` does
RUNNING = (
    (Plant("a route set by hand", "worker-1", "ip route add 10.99.0.0/24 via 10.67.0.1",
           "routes:10.99.0.0/24 via 10.67.0.1", "", "security"), "ip route delete 10.99.0.0/24"),
    (Plant("a port opened", "worker-1", f"systemd-run --quiet --unit plant python3 -c '{ANSWERS}'",
           "listeners:udp 5353 python3", "", "security"), "systemctl stop plant"),
    (Plant("a kubelet with another setting, its file put back", "worker-1", OTHER_SETTING,
           "kubelet:podPidsLimit", "value", "security"), ""),
    (Plant("another image under kube-proxy's name", "worker-1", python(SWAP) + python(RESTART),
           "images:kube-proxy sha256:", "", "security"), SWAP_BACK + "\n" + python(RESTART)),
)  # fmt: skip
