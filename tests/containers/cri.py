#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""A kubelet's part in short: speaks the container runtime interface to containerd.

cri.py run IMAGE     a pod with two containers; what is written in each is seen, and all is removed
"""

import sys
import time

import cri_pb2 as cri
import grpc

SOCKET = "unix:///run/containerd/containerd.sock"


class Service:
    """A service of the interface; its methods are named as in the protocol."""

    def __init__(self, channel, name):
        self.channel, self.name = channel, name

    def __getattr__(self, method):
        answer = getattr(cri, method + "Response")
        call = self.channel.unary_unary(
            f"/runtime.v1.{self.name}/{method}",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return lambda **fields: call(getattr(cri, method + "Request")(**fields), timeout=120)


def wait_for(runtime, container, state):
    for _ in range(120):
        got = runtime.ContainerStatus(container_id=container).status.state
        if got == state:
            return
        time.sleep(0.5)
    sys.exit(f"the container did not come to the state {state}, it is in {got}")


def run(image):
    channel = grpc.insecure_channel(SOCKET)
    runtime, images = Service(channel, "RuntimeService"), Service(channel, "ImageService")
    print("runtime:", runtime.Version().runtime_name)
    print("images:", sorted(tag for i in images.ListImages().images for tag in i.repo_tags))
    print("file system for images:", images.ImageFsInfo().image_filesystems[0].fs_id.mountpoint)
    # The network of the node: there is none in this machine.
    node = cri.NamespaceOption(network=cri.NODE)
    security = cri.LinuxSandboxSecurityContext(namespace_options=node)
    pod_config = cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(name="pod", uid="1", namespace="default"),
        log_directory="/tmp/pod-logs",
        linux=cri.LinuxPodSandboxConfig(security_context=security),
    )
    pod = runtime.RunPodSandbox(config=pod_config).pod_sandbox_id
    print("pod is ready:", runtime.PodSandboxStatus(pod_sandbox_id=pod).status.state == cri.SANDBOX_READY)
    containers = []
    for name in ["one", "two"]:
        config = cri.ContainerConfig(
            metadata=cri.ContainerMetadata(name=name),
            image=cri.ImageSpec(image=image),
            command=["/bin/sh", "-c", f"echo {name} >/name; rm -r /opq; sleep 600"],
            log_path=f"{name}.log",
            linux=cri.LinuxContainerConfig(
                security_context=cri.LinuxContainerSecurityContext(namespace_options=node)
            ),
        )
        made = runtime.CreateContainer(pod_sandbox_id=pod, config=config, sandbox_config=pod_config)
        containers.append(made.container_id)
        runtime.StartContainer(container_id=made.container_id)
        wait_for(runtime, made.container_id, cri.CONTAINER_RUNNING)
    time.sleep(2)
    for container in containers:
        for script in ["cat /name; ls / /opq2; cat /hl2", "grep ' / / ' /proc/self/mountinfo | cut -d- -f2 | cut -d' ' -f2", "/change && ls /"]:
            got = runtime.ExecSync(container_id=container, cmd=["/bin/sh", "-c", script], timeout=60)
            print(got.exit_code, got.stdout.decode(), got.stderr.decode())
    stats = runtime.ContainerStats(container_id=containers[0]).stats
    print("statistics of the writable layer:", stats.writable_layer.fs_id.mountpoint != "")
    for container in containers:
        runtime.StopContainer(container_id=container, timeout=0)
        wait_for(runtime, container, cri.CONTAINER_EXITED)
        runtime.RemoveContainer(container_id=container)
    runtime.StopPodSandbox(pod_sandbox_id=pod)
    runtime.RemovePodSandbox(pod_sandbox_id=pod)
    print("pods left:", len(runtime.ListPodSandbox().items), "containers left:", len(runtime.ListContainers().containers))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "run":
        sys.exit(__doc__)
    run(sys.argv[2])
