# shellcheck shell=bash
# What the boot benchmark's scripts on the lab host have in common: the monitors, and the devices that the guest is
# given; sourced, in the source directory. Sets virtio and assigned.
# shellcheck disable=SC2034
variables=$(tests/lab/guest/build)
eval "$variables"
source tests/bench/boot/qemu.sh
source tests/bench/boot/berth.sh
source tests/bench/boot/meter.sh
cpus=2 memory_mib=512

directory=$(mktemp -d)
qemu_memory "$directory/memory"
truncate -s 64M "$directory/disk.img"
lab-bridge
ip tuntap add tap0 mode tap vnet_hdr
ip link set tap0 master br0 up
nvme_vf=$(lab-nvme-vfs 1)
nic_vf=$(lab-igb-vfs 1)
lab-vfio-bind "$nvme_vf" "$nic_vf"
mdev=$(lab-mdev mtty-2)

virtio=("disk:$directory/disk.img" tap:tap0:52:54:00:00:07:02 rng)
assigned=("pci:$nvme_vf" "pci:$nic_vf" "mdev:$mdev")
