# The Docker SDK for Python: what programs do with signed images.
import io
import os
import tarfile
import time

import docker

image, repository = os.environ["REPO"] + ":1", os.environ["REPO"]
client = docker.from_env()
low = client.api


def told(what, value):
    print(what, value, flush=True)


told("ping", client.ping())
told("login", client.login("somebody", "something", registry=os.environ["REGISTRY"]).get("Status"))
told("version", client.version()["ApiVersion"])
told("info", client.info()["Images"])
told("pull", client.images.pull(repository, tag="1").tags)
told("pull, streamed", [line["status"] for line in low.pull(repository, tag="2", stream=True, decode=True)][-1])
told("pull, by digest", client.images.pull(repository + "@" + os.environ["DIGEST"]).tags)
told("images", sorted(tag for one in client.images.list() for tag in one.tags))
told("registry data", client.images.get_registry_data(image).id)
told("tag", client.images.get(image).tag("local/name", tag="3"))
told("push", client.images.push(repository, tag="1").count("digest"))
client.images.remove("local/name:3")

told("run", client.containers.run(image, remove=True))
told("run a command", client.containers.run(image, ["echo", "given"], remove=True, environment={"A": "1"}))
try:
    client.containers.run(image, ["sh", "-c", "echo wrong >&2; exit 3"], remove=True)
except docker.errors.ContainerError as error:
    told("exit", (error.exit_status, error.stderr))

network = client.networks.create("inside", driver="bridge", check_duplicate=True)
volume = client.volumes.create("data", labels={"a": "b"})
web = client.containers.run(
    image,
    ["sh", "-c", "echo up; exec busybox httpd -f -p 80"],
    detach=True,
    name="web",
    network="inside",
    ports={"80/tcp": 8080},
    volumes={"data": {"bind": "/data", "mode": "rw"}},
    mounts=[docker.types.Mount("/scratch", None, type="tmpfs")],
    environment=["A=1"],
    mem_limit="64m",
    nano_cpus=500000000,
    cap_drop=["ALL"],
    ulimits=[docker.types.Ulimit(name="nofile", soft=100, hard=100)],
    restart_policy={"Name": "on-failure", "MaximumRetryCount": 2},
    healthcheck={"test": ["CMD", "cat", "/text"], "interval": 300000000},
    labels={"x": "y"},
    init=True,
)
while client.api.inspect_container(web.id)["State"]["Health"]["Status"] != "healthy":
    time.sleep(0.1)
web.reload()
told("ports", web.attrs["NetworkSettings"]["Ports"])
told("list", [one.name for one in client.containers.list(filters={"label": "x=y"})])
told("exec", web.exec_run(["cat", "/text"]))
told("exec, streamed", b"".join(web.exec_run(["cat", "/text"], stream=True).output))
told("exec, apart", web.exec_run(["sh", "-c", "echo out; echo err >&2; exit 4"], demux=True))
told("exec, with a terminal", web.exec_run(["busybox", "tty"], tty=True))
told("logs", web.logs())
told("top", len(web.top()["Processes"]))
told("stats", sorted(web.stats(stream=False)["memory_stats"])[:3])
told("diff", sorted(change["Path"] for change in web.diff()))
archive, entry = web.get_archive("/text")
told("get_archive", (entry["name"], tarfile.open(fileobj=io.BytesIO(b"".join(archive))).getnames()))
web.pause()
web.unpause()
web.rename("site")
told("update", web.update(mem_limit="128m", memswap_limit="256m"))
web.restart(timeout=0)
network.disconnect(web)
network.connect(web, aliases=["it"])
web.stop(timeout=0)
web.start()
web.kill()
told("wait", web.wait())
web.remove(v=True, force=True)

late = low.create_container(image, ["cat"], stdin_open=True, host_config=low.create_host_config(auto_remove=True))
socket = low.attach_socket(late["Id"], params={"stdin": 1, "stdout": 1, "stream": 1})
low.start(late["Id"])
socket._sock.sendall(b"through the engine\n")
told("attached", socket._sock.recv(100)[8:])
socket._sock.close()
low.kill(late["Id"])
ticking = client.containers.run(image, ["sh", "-c", "for n in 1 2 3; do echo tick; sleep 0.2; done"], detach=True)
told("logs, followed", b"".join(ticking.logs(stream=True, follow=True)))
ticking.remove(force=True)

told("save", len(b"".join(client.images.get(image).save(named=True))) > 1000)
told("history", len(client.images.get(image).history()))
told("events", sorted({event["Action"] for event in client.events(since=int(time.time()) - 60, until=int(time.time()) + 1, decode=True) if event["Type"] == "volume"}))
told("df", sorted(client.df()))
network.remove()
volume.remove(force=True)
told("prune", client.containers.prune())
told("prune", client.networks.prune())
told("prune", client.volumes.prune())
client.images.remove(image, force=True)
