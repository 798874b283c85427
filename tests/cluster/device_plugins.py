#!/usr/bin/env python3
"""Device plugins on real agents: what is found is shown and given, jobs see their own devices only, one that fails drains alone, and a plugin that
crashes, hangs or lies costs its devices, not the agent. NVIDIA's and AMD's libraries are stubs that are compiled here."""
import json
import os
import re
import signal
import subprocess
import sys

from bai import BIN, Cluster, Skip, await_true, check, equal, need_root, processes, run_tests, test

TOP = os.environ.get("BAI_SRC") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
PLUGINS = os.path.join(os.path.dirname(BIN), "plugins")
ENV = "env=CUDA_VISIBLE_DEVICES=%d env=FAKE_ID=F{i}"
WAIT = "while [ ! -e {go} ]; do sleep 0.05; done"


def fake(c, node, *lines, devices=2, more="shares mps"):
    """What the fake plugin of a node finds, and what goes wrong there."""
    folder = c.path(node)
    os.makedirs(folder, exist_ok=True)
    text = "".join(f"device F{i} gpu a100 40960 0 file={folder}/dev{i} {ENV.format(i=i)} {more}\n" for i in range(devices))
    fresh = os.path.join(folder, "fresh")
    with open(fresh, "w", encoding="utf-8") as f:
        f.write(text + "".join(line + "\n" for line in lines))
    os.rename(fresh, os.path.join(folder, "fake.conf"))


def device_files(c, node, count=3):
    """Numbers that no driver has: opening one that is allowed fails with ENXIO. Without the right to make them, links to what is there."""
    os.makedirs(c.path(node), exist_ok=True)
    for i in range(count):
        path = os.path.join(c.path(node), f"dev{i}")
        try:
            os.mknod(path, 0o20666, os.makedev(240, 10 + i))
            os.chmod(path, 0o666)
        except PermissionError:
            os.symlink("/dev/null", path)


def devices(c, node):
    """{index: device} as bai-control tells tools; None: the configuration does not count it."""
    said = json.loads(c.run("bai-control", "show", "node", node, "--json").stdout)
    return {device.get("index"): device for device in said["nodes"][0]["devices"]}


def await_health(c, node, wanted, timeout=20.0):
    """Of each index in order: "healthy", "unhealthy", "unknown", or "missing"."""
    def probe():
        seen = devices(c, node)
        return [seen[i].get("health", "missing") for i in sorted(k for k in seen if k is not None)] == wanted
    await_true(probe, f"{node} to have {wanted}, it has {devices(c, node)}", timeout)


def kept_apart(c):
    """Whether cgroups keep devices from jobs here."""
    return "devices" not in c.run("bai-info", "--limits", "-h", "-N", "-n", "n1").stdout.replace("shares of devices", "")


def restart(c, node):
    c.kill(node, signal.SIGTERM)
    c.up()


def agent_is(c, node, pid):
    equal(c.pid(node), pid, "the agent's process")


@test
def found_ones_are_shown(c):
    with open(c.conf, encoding="utf-8") as f:
        text = f.read()
    text = re.sub(r"(?m)^NodeName=n\[1-2\](.*)$", r"NodeName=n1 Gres=gpu:a100:2\1\nNodeName=n2 Gres=gpu:a100:3\1", text)
    with open(c.conf, "w", encoding="utf-8") as f:
        f.write(text + f"DevicePluginDir={PLUGINS}\nDevicePlugins=fake\nDeviceConfigDir={c.work}/%n\nDeviceCheckInterval=1\nDeviceKinds=gpu,npu\n")
    for node in c.nodes:
        device_files(c, node)
        fake(c, node)
    printed = c.run("bai-agentd", "-C", "-N", "n1", "-f", c.conf).stdout
    check("Gres=gpu:a100:2" in printed.split(), printed)
    c.run("bai-control", "reconfigure")
    for node in c.nodes:
        restart(c, node)
    await_health(c, "n1", ["healthy"] * 2)
    show = c.run("bai-control", "show", "node", "n1").stdout
    for words in ("Gres=gpu:a100:2", "GresDrain=N/A GresUsed=N/A", "Device=gpu:0 Health=healthy Id=F0 Model=a100 Memory=40960", "Given=0"):
        check(words in show, show)
    equal(c.run("bai-info", "-h", "-N", "-n", "n1", "-O", "gres:20,gresdrain:20").stdout.split(), ["gpu:a100:2", "N/A"])


@test
def what_is_configured_and_missing_is_out_alone(c):
    await_health(c, "n2", ["healthy", "healthy", "missing"])
    show = c.run("bai-control", "show", "node", "n2").stdout
    check("GresDrain=gpu:a100:1(IDX:2)" in show and "State=IDLE" in show, show)
    check("Device=gpu:2 Health=missing Why=it was not found" in show, show)
    two, three = (c.submit("-N1", "-w", "n2", f"--gpus={n}", "-o", "/dev/null", script="true") for n in (2, 3))
    c.await_state(two, "COMPLETED")
    equal(c.job(three)["state"], "PENDING", "three are there for nobody")
    c.run("bai-cancel", str(three))


@test
def jobs_see_their_own(c):
    script = f"echo $CUDA_VISIBLE_DEVICES $FAKE_ID $SLURM_JOB_GPUS; {WAIT.format(go=c.path('go1'))}"
    jobs = [c.submit("-w", "n1", "--gpus=1", "-o", f"own{i}.txt", script=script) for i in range(2)]
    for i, job in enumerate(jobs):
        c.await_text(f"own{i}.txt", f"F{i} {i}")
    enforced = kept_apart(c)
    for i in range(2):
        equal(c.read(f"own{i}.txt").split(), ["0" if enforced else str(i), f"F{i}", str(i)], "numbered among what it can open")
    check("GresUsed=gpu:a100:2(IDX:0-1)" in c.run("bai-control", "show", "node", "n1").stdout, "in use")
    plain = c.submit("-w", "n1", "-o", "plain.txt", "--export=ALL,CUDA_VISIBLE_DEVICES=0", script="echo devices:$CUDA_VISIBLE_DEVICES:")
    c.await_state(plain, "COMPLETED")
    equal(c.read("plain.txt").strip(), "devices::", "one that asked for none")
    with open(c.path("go1"), "w", encoding="utf-8"):
        pass
    for job in jobs:
        c.await_state(job, "COMPLETED")


@test
def the_others_cannot_be_opened(c):
    need_root()
    if not kept_apart(c):
        raise Skip("no cgroup keeps devices here")
    if not os.path.exists(c.path("n1/dev0")) or os.path.islink(c.path("n1/dev0")):
        raise Skip("device files cannot be made here")
    probe = f"for i in 0 1; do python3 -c \"import os; os.open('{c.path('n1')}/dev$i', os.O_RDONLY)\" 2>&1 | tail -n1; done"
    job = c.submit("-w", "n1", "--gpus=1", "-o", "open.txt", script=probe)
    c.await_state(job, "COMPLETED")
    own, other = c.read("open.txt").splitlines()[:2]
    check("No such device" in own, f"its own: {own}")
    check("not permitted" in other, f"the other: {other}")


@test
def an_unhealthy_one_drains_alone(c):
    script = f"echo $FAKE_ID; {WAIT.format(go=c.path('go2'))}"
    job = c.submit("-w", "n1", "--gpus=1", "-o", "ill.txt", script=script)
    c.await_text("ill.txt", "F0")
    fake(c, "n1", "unhealthy F0 Xid 79, fallen off the bus")
    await_health(c, "n1", ["unhealthy", "healthy"])
    show = c.run("bai-control", "show", "node", "n1").stdout
    check("GresDrain=gpu:a100:1(IDX:0)" in show and "Why=Xid 79, fallen off the bus" in show and "DRAIN" not in show.split("State=")[1].split()[0], show)
    other = c.submit("-w", "n1", "--gpus=1", "-o", "well.txt", script="echo $FAKE_ID")
    c.await_state(other, "COMPLETED")
    equal(c.read("well.txt").strip(), "F1")
    both = c.submit("-N1", "-w", "n1", "--gpus=2", "-o", "/dev/null", script="true")
    equal(c.job(job)["state"], "RUNNING", "it goes on")
    history = c.run("bai-control", "show", "job", str(job), "--history").stdout
    check("gpu 0 of n1 is not healthy: Xid 79" in history, history)
    check("a device is not given to jobs" in c.log("ctld"), "the log")
    with open(c.path("go2"), "w", encoding="utf-8"):
        pass
    c.await_state(job, "COMPLETED")
    equal(c.job(both)["state"], "PENDING")
    fake(c, "n1")
    c.await_state(both, "COMPLETED")


@test
def use_is_told_by_device_and_process(c):
    job = c.submit("-w", "n1", "--gpus=1", "-o", "pid.txt", script=f"echo pid $$; {WAIT.format(go=c.path('go3'))}")
    c.await_text("pid.txt", "pid ")
    pid = int(c.read("pid.txt").split()[1])
    fake(c, "n1", "use F0 35 1200", f"process F0 {pid} 1100", "process F0 1 50")
    await_true(lambda: devices(c, "n1")[0].get("use_percent") == 35, "use")
    device = devices(c, "n1")[0]
    equal((device["mem_used_mib"], {p["pid"]: p.get("job") for p in device["processes"]}), (1200, {pid: job, 1: None}))
    show = c.run("bai-control", "show", "node", "n1").stdout
    check(f"Use=35% UsedMem=1200 Processes={pid}(job {job}, 1100M),1(job none, 50M)" in show, show)
    with open(c.path("go3"), "w", encoding="utf-8"):
        pass
    c.await_state(job, "COMPLETED")
    fake(c, "n1")


@test
def a_crashing_plugin_costs_its_devices_for_a_while(c):
    agent = c.pid("n1")
    job = c.submit("-w", "n1", "--gpus=1", "-o", "crash.txt", script=f"echo runs; {WAIT.format(go=c.path('go4'))}")
    c.await_text("crash.txt", "runs")
    fake(c, "n1", "fault look crash")
    await_health(c, "n1", ["unknown"] * 2)
    check("Why=the device plugin fake was ended by signal 11" in c.run("bai-control", "show", "node", "n1").stdout, "the reason")
    await_true(lambda: "the devices of a plugin are not known" in c.log("n1"), "the log")
    waiting = c.submit("-w", "n1", "--gpus=1", "-o", "/dev/null", script="true")
    plain = c.submit("-w", "n1", "-o", "/dev/null", script="true")
    c.await_state(plain, "COMPLETED")
    equal([c.job(job)["state"], c.job(waiting)["state"]], ["RUNNING", "PENDING"])
    fake(c, "n1")
    await_health(c, "n1", ["healthy"] * 2)
    c.await_state(waiting, "COMPLETED")
    with open(c.path("go4"), "w", encoding="utf-8"):
        pass
    c.await_state(job, "COMPLETED")
    equal(c.log("n1").count("was ended by signal 11"), 1, "said once")
    agent_is(c, "n1", agent)


@test
def a_hanging_one_is_ended(c):
    agent = c.pid("n1")
    fake(c, "n1", "fault look hang")
    await_health(c, "n1", ["unknown"] * 2)
    check("the device plugin fake does not answer" in c.run("bai-control", "show", "node", "n1").stdout, "the reason")
    fake(c, "n1")
    await_health(c, "n1", ["healthy"] * 2)
    agent_is(c, "n1", agent)
    equal(len([p for p, line in processes("--device-host fake").items() if parent(p) == agent]), 1, "host processes")


def parent(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
        return int(f.read().rpartition(")")[2].split()[1])


@test
def a_liar_is_not_believed(c):
    """Devices without end, at the start of an agent: it registers all the same, and they count as missing."""
    fake(c, "n1", "fault discover flood")
    restart(c, "n1")
    await_health(c, "n1", ["missing"] * 2)
    c.await_state(c.submit("-w", "n1", "-o", "/dev/null", script="true"), "COMPLETED")
    fake(c, "n1")
    await_health(c, "n1", ["healthy"] * 2)
    c.await_state(c.submit("-w", "n1", "--gpus=2", "-o", "/dev/null", script="true"), "COMPLETED")
    os.kill([p for p in processes("--device-host fake") if parent(p) == c.pid("n1")][0], signal.SIGKILL)
    await_true(lambda: "was ended by signal 9" in c.log("n1"), "the log")
    await_health(c, "n1", ["healthy"] * 2)


@test
def shares_are_accounted_or_held_by_mps(c):
    said = c.run("bai-info", "--limits", "--json", "-n", "n1").stdout
    check("shares of devices: no CUDA MPS holds jobs to them" in said, said)
    script = f"echo $FAKE_ID ${{CUDA_MPS_ACTIVE_THREAD_PERCENTAGE:-none}}; {WAIT.format(go=c.path('go5'))}"
    jobs = [c.submit("-w", "n1", f"--gpus={share}", "-o", f"share{i}.txt", script=script) for i, share in enumerate(("0.25", "0.5"))]
    for i, job in enumerate(jobs):
        c.await_text(f"share{i}.txt", "F0 none")
    with open(c.path("go5"), "w", encoding="utf-8"):
        pass
    for job in jobs:
        c.await_state(job, "COMPLETED")

    control = c.path("nvidia-cuda-mps-control")
    with open(control, "w", encoding="utf-8") as f:
        f.write(f'#!/bin/sh\n[ "$1" = -d ] || exit 1\necho "$CUDA_VISIBLE_DEVICES" >> "{c.path("mps-started")}"\n'
                'sleep 300 >/dev/null 2>&1 & echo $! > "$CUDA_MPS_PIPE_DIRECTORY/nvidia-cuda-mps-control.pid"\n')
    os.chmod(control, 0o755)
    with open(c.conf, "a", encoding="utf-8") as f:
        f.write(f"CudaMpsControl={control}\n")
    restart(c, "n1")
    await_health(c, "n1", ["healthy"] * 2)
    check("shares" not in c.run("bai-info", "--limits", "-h", "-N", "-n", "n1").stdout, "they are held now")
    script = "echo $CUDA_VISIBLE_DEVICES $CUDA_MPS_ACTIVE_THREAD_PERCENTAGE $CUDA_MPS_PINNED_DEVICE_MEM_LIMIT; ls -d $CUDA_MPS_PIPE_DIRECTORY"
    try:
        for i in range(2):
            job = c.submit("-w", "n1", "--gpus=0.25", "-o", f"mps{i}.txt", script=script)
            c.await_state(job, "COMPLETED")
            equal(c.read(f"mps{i}.txt").split()[:3], ["F0", "25", "0=10240M"])
        equal(c.read("mps-started"), "F0\n", "one daemon for the device")
        whole = c.submit("-w", "n1", "--gpus=1", "-o", "whole.txt", script="echo mps:$CUDA_MPS_PIPE_DIRECTORY:")
        c.await_state(whole, "COMPLETED")
        equal(c.read("whole.txt").strip(), "mps::")
    finally:
        for pid, line in processes("sleep 300").items():
            if open(f"/proc/{pid}/environ", encoding="utf-8", errors="replace").read().find(c.dir) >= 0:
                os.kill(pid, signal.SIGKILL)


@test
def tasks_see_their_part(c):
    def tasks(*words, env=None):
        out = c.run("bai-run", "-w", "n1", "-N1", "-l", *words, "sh", "-c", "echo $FAKE_ID", env=env)
        return [line.partition(":")[2].strip() for line in sorted(out.stdout.splitlines())], out.stderr

    equal(tasks("-n2", "--gpus=2")[0], ["F0,F1"] * 2)
    equal(tasks("-n2", "--gpus=2", "--gpu-bind=single:1")[0], ["F0", "F1"])
    equal(tasks("-n2", "--gpus=2", "--gpu-bind=map_gpu:1,0")[0], ["F1", "F0"])
    equal(tasks("-n2", "--gpus=2", "--gpu-bind=mask_gpu:0x2,0x3")[0], ["F1", "F0,F1"])
    equal(tasks("-n2", "--gpus-per-task=1")[0], ["F0", "F1"])
    equal(tasks("-n2", "--gpus-per-task=1", "--gpu-bind=none")[0], ["F0,F1"] * 2)
    seen, said = tasks("-n1", "--gpus=2", "--gpu-bind=verbose,single:1")
    equal(seen, ["F0"])
    check("gpu-bind: usable_gres=0x1; bit_alloc=0x3; local_inx=2; global_list=0; local_list=0" in said, said)
    bad = c.run("bai-run", "-w", "n1", "--gpus=1", "--gpu-bind=nearest", "true", ok=False).stderr
    check("'nearest' is no way to bind tasks to GPUs" in bad, bad)


def library(c, name):
    out = c.path(f"lib{name}.so")
    if not os.path.exists(out):
        subprocess.run(["g++", "-x", "c", "-shared", "-fPIC", os.path.join(TOP, f"tests/data/devices/stub_{name}.c"), "-o", out], check=True)
    return out


def own_agent(c, plugins, gres, files, env=None):
    """n2's agent with a configuration of its own: which plugins, and what they read ({name: text} below DeviceConfigDir)."""
    if c.pid("n2"):
        c.kill("n2", signal.SIGTERM)
    folder = c.path("own")
    subprocess.run(["rm", "-rf", folder], check=True)
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if text is None:
            os.symlink("/dev/null", path)
        else:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
    with open(c.conf, encoding="utf-8") as f:
        text = f.read()
    shared = re.sub(r"(?m)^(NodeName=n2 Gres=)\S+", rf"\g<1>{gres}", text)
    with open(c.conf, "w", encoding="utf-8") as f:
        f.write(shared)
    c.run("bai-control", "reconfigure")
    conf = c.path("own.conf")
    with open(conf, "w", encoding="utf-8") as f:
        f.write(shared.replace("DevicePlugins=fake", f"DevicePlugins={plugins}").replace(f"DeviceConfigDir={c.work}/%n", f"DeviceConfigDir={folder}"))
    log = open(c.path("own.log"), "w", encoding="utf-8")
    agent = subprocess.Popen([os.path.join(BIN, "bai-agentd"), "-N", "n2", "-f", conf, "--cpus=4", "--memory=2G"], env=dict(c.env, **(env or {})), stderr=log, stdout=log)

    c.await_text("own.log", "registered")
    return agent


def end(agent):
    agent.terminate()
    agent.wait(20)


@test
def nvidia_by_nvml(c):
    root = c.path("own")
    files = {"cuda.conf": f"Library={library(c, 'nvml')}\nRoot={root}\n", "state": ""}
    for i, bus in ((0, "3b"), (1, "3c")):
        files[f"sys/bus/pci/devices/0000:{bus}:00.0/numa_node"] = "0\n"
        files[f"sys/bus/pci/devices/0000:{bus}:00.0/local_cpulist"] = "0\n"
        files[f"dev/nvidia{i}"] = None
    for gi, cap in ((1, 21), (2, 30)):
        files[f"proc/driver/nvidia/capabilities/gpu1/mig/gi{gi}/access"] = f"DeviceFileMinor: {cap}\nDeviceFileMode: 292\n"
        files[f"proc/driver/nvidia/capabilities/gpu1/mig/gi{gi}/ci0/access"] = f"DeviceFileMinor: {cap + 1}\nDeviceFileMode: 292\n"
        files[f"dev/nvidia-caps/nvidia-cap{cap}"] = files[f"dev/nvidia-caps/nvidia-cap{cap + 1}"] = None
    agent = own_agent(c, "cuda", "gpu:a100_1g.5gb:2,gpu:a100:1", files, {"STUB_STATE": os.path.join(root, "state")})
    try:
        await_health(c, "n2", ["healthy"] * 3)
        seen = devices(c, "n2")
        equal([seen[i]["id"][:5] for i in range(3)], ["MIG-a", "MIG-b", "GPU-0"])
        equal([seen[i]["model"] for i in (0, 2)], ["NVIDIA A100-SXM4-40GB MIG 1g.5gb", "NVIDIA A100-SXM4-40GB"])
        equal((seen[2]["use_percent"], seen[2]["mem_used_mib"], seen[2]["power_mw"], seen[2]["mem_mib"], seen[0]["mem_mib"]), (35, 1200, 250000, 40960, 4864))
        check("use_percent" not in seen[0], "a part's use is not told")
        printed = c.run("bai-agentd", "-C", "-N", "n2", "-f", c.path("own.conf")).stdout
        check("Gres=gpu:a100:1,gpu:a100_1g.5gb:2" in printed, printed)
        part = c.submit("-w", "n2", "--gpus=a100_1g.5gb:1", "-o", "part.txt", script="echo $CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER")
        whole = c.submit("-w", "n2", "--gpus=a100:1", "-o", "whole.txt", script="echo $CUDA_VISIBLE_DEVICES")
        c.await_state(part, "COMPLETED")
        c.await_state(whole, "COMPLETED")
        equal(c.read("part.txt").split(), ["MIG-aaaaaaaa-0000-0000-0000-000000000000", "PCI_BUS_ID"])
        equal(c.read("whole.txt").strip(), "0")
        with open(os.path.join(root, "state"), "w", encoding="utf-8") as f:
            f.write(f"lost 0\nprocess 1 {os.getpid()}\n")
        await_health(c, "n2", ["healthy", "healthy", "unhealthy"])
        equal(devices(c, "n2")[2]["why"], "the driver has lost the GPU")
        await_true(lambda: devices(c, "n2")[1]["processes"], "the processes")
        seen = devices(c, "n2")
        equal([[p["pid"] for p in seen[i]["processes"]] for i in (0, 1)], [[], [os.getpid()]], "of its own part only")
        with open(os.path.join(root, "state"), "w", encoding="utf-8") as f:
            f.write("ecc 0 3\n")
        await_true(lambda: devices(c, "n2")[2]["why"] == "3 uncorrected memory errors since the driver was loaded", "memory errors")
    finally:
        end(agent)


@test
def nvidia_without_nvml(c):
    root = c.path("own")
    files = {"cuda.conf": f"Library=/nowhere\nCudaLibrary={library(c, 'cuda')}\nRoot={root}\n", "dev/nvidia3": None,
             "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t Orin\nDevice Minor: \t 3\n"}
    agent = own_agent(c, "cuda", "gpu:1", files)
    try:
        await_health(c, "n2", ["healthy"])
        seen = devices(c, "n2")[0]
        equal((seen["id"], seen["model"], seen["mem_mib"]), ("GPU-abababab-abab-abab-abab-abababababab", "Orin", 32768))
    finally:
        end(agent)


@test
def amd_by_rocm_smi(c):
    root = c.path("own")
    files = {"rocm.conf": f"Library={library(c, 'rocm_smi')}\nRoot={root}\n", "state": "", "dev/dri/renderD128": None, "dev/dri/renderD129": None}
    for i, bus in enumerate(("c1", "c2")):
        files[f"sys/bus/pci/devices/0000:{bus}:00.0/drm/renderD{128 + i}/dev"] = ""
        files[f"sys/bus/pci/devices/0000:{bus}:00.0/numa_node"] = "0\n"
    agent = own_agent(c, "rocm", "gpu:mi250x:2", files, {"STUB_STATE": os.path.join(root, "state")})
    try:
        await_health(c, "n2", ["healthy"] * 2)
        seen = devices(c, "n2")
        equal([seen[i]["id"] for i in range(2)], ["GPU-1234abcd00000000", "GPU-1234abcd00000001"])
        equal([(seen[i]["use_percent"], seen[i]["mem_used_mib"], seen[i]["power_mw"]) for i in range(2)], [(7, 300, 90000), (8, 300, 90000)])
        equal([[p["pid"] for p in seen[i]["processes"]] for i in range(2)], [[], [4711]])
        job = c.submit("-w", "n2", "--gpus=2", "-o", "amd.txt", script="echo $ROCR_VISIBLE_DEVICES:$CUDA_VISIBLE_DEVICES")
        c.await_state(job, "COMPLETED")
        equal(c.read("amd.txt").strip(), "0,1:")
        with open(os.path.join(root, "state"), "w", encoding="utf-8") as f:
            f.write("silent 1\n")
        await_health(c, "n2", ["healthy", "unhealthy"])
    finally:
        end(agent)


@test
def any_device_by_configuration(c):
    root = c.path("own")
    files = {f"dev/npu{i}": None for i in (0, 2, 10)}
    files |= {f"sys/npu{i}/state": "ok\n" for i in (0, 2, 10)} | {f"sys/npu{i}/load": f"{i}\n" for i in (0, 2, 10)}
    files["generic/npu.conf"] = (f"Kind=npu\nType=atom  # a comment\nFiles={root}/dev/npu*\nSysfs={root}/sys/%n\nMemory=16G\nEnvironment=NPU_DEVICES=%i\n"
                                 "Environment=NPU_NAMES=%n\nHealthFile=state\nHealthyIs=ok,idle\nUsePercentFile=load\nShares=yes\n")
    agent = own_agent(c, "generic", "npu:atom:3", files)
    try:
        await_health(c, "n2", ["healthy"] * 3)
        seen = devices(c, "n2")
        equal([(seen[i]["id"], seen[i]["use_percent"], seen[i]["mem_mib"]) for i in range(3)], [(f"{root}/dev/npu{i}", i, 16384) for i in (0, 2, 10)])
        job = c.submit("-w", "n2", "--gres=npu:atom:2", "-o", "npu.txt", script="echo $NPU_DEVICES $NPU_NAMES")
        c.await_state(job, "COMPLETED")
        equal(c.read("npu.txt").split(), ["0,2", "npu0,npu2"])
        with open(f"{root}/sys/npu2/state", "w", encoding="utf-8") as f:
            f.write("error\n")
        await_health(c, "n2", ["healthy", "unhealthy", "healthy"])
        equal(devices(c, "n2")[1]["why"], "state says error")
        job = c.submit("-w", "n2", "--gres=npu:2", "-o", "npu.txt", script="echo $NPU_DEVICES")
        c.await_state(job, "COMPLETED")
        equal(c.read("npu.txt").strip(), "0,10")
        os.unlink(f"{root}/dev/npu10")
        await_health(c, "n2", ["healthy", "unhealthy", "unhealthy"])
        equal(devices(c, "n2")[2]["why"], "the device is gone")
    finally:
        end(agent)


@test
def bad_plugins_are_refused(c):
    """Each says why; the agent serves on."""
    folder = c.path("bad")
    os.makedirs(folder)
    def plugin(name, definition):
        with open(f"{folder}/{name}.c", "w", encoding="utf-8") as f:
            f.write('#include "device_plugin.h"\nstatic int start(const char* d, char* w, size_t r) { (void)d; (void)w; (void)r; return 0; }\n'
                    "static int discover(void (*f)(void*, const struct bai_device*), void* t, char* w, size_t r) { (void)f; (void)t; (void)w; (void)r; return 0; }\n"
                    "static int look(const char* i, struct bai_device_state* s) { (void)i; (void)s; return 0; }\n" + definition)
        subprocess.run(["g++", "-x", "c", "-shared", "-fPIC", "-I", os.path.join(TOP, "src/device"), f"{folder}/{name}.c", "-o", f"{folder}/device_{name}.so"], check=True)
    table = "const struct bai_device_calls bai_device_plugin = {%s, start, 0, discover, look};\nint (*unused[])() = {(int (*)())start};\n"
    plugin("version", table % '99, "version"')
    plugin("name", table % '1, "other"')
    plugin("symbol", "void* unused[] = {(void*)start, (void*)discover, (void*)look};\n")
    plugin("open", table % '1, "open"')
    os.chmod(f"{folder}/device_open.so", 0o777)
    with open(f"{folder}/device_text.so", "w", encoding="utf-8") as f:
        f.write("text")
    agent = own_agent(c, "version,name,symbol,open,text,nosuch", "gpu:1", {"x": ""})
    end(agent)
    conf = c.path("own.conf")
    with open(conf, encoding="utf-8") as f:
        text = f.read().replace(f"DevicePluginDir={PLUGINS}", f"DevicePluginDir={folder}")
    with open(conf, "w", encoding="utf-8") as f:
        f.write(text)
    with open(c.path("bad.log"), "w", encoding="utf-8") as log:
        agent = subprocess.Popen([os.path.join(BIN, "bai-agentd"), "-N", "n2", "-f", conf, "--cpus=4", "--memory=2G"], env=c.env, stderr=log, stdout=log)
    try:
        for why in ("it is for version 99", "it calls itself 'other'", "it has no bai_device_plugin", "others may write it", "plugin=text", "plugin=nosuch"):
            c.await_text("bad.log", why)
        await_health(c, "n2", ["missing"])
        c.await_state(c.submit("-w", "n2", "-o", "/dev/null", script="true"), "COMPLETED")
    finally:
        end(agent)
        c.up()


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2, cpus=4)))
