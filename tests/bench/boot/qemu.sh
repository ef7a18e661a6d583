# shellcheck shell=bash
# QEMU as a monitor of the lab's guests; sourced. The caller sets guest_kernel, guest_initrd, cpus, memory_mib.

# qemu_memory DIRECTORY: makes it, to hold the RAM of QEMU's guests: in transparent huge pages, as what QEMU has by default,
# but a file, which can be told from QEMU's own memory. Before any guest.
qemu_memory() {
  memory_directory=$1
  mkdir "$memory_directory"
  mount -t tmpfs -o size=0,huge=always tmpfs "$memory_directory"
}
# Sets ram, the arguments that give a guest memory_mib of it.
qemu_ram() {
  ram=(-m "$memory_mib" -object "memory-backend-file,id=ram,size=${memory_mib}M,mem-path=$memory_directory,share=on"
    -machine memory-backend=ram)
}

# monitor_q35 CONSOLE-LOG COMMAND-LINE DEVICE...: starts the guest in the background and sets vmm_pid. Devices are
# disk:IMAGE, tap:INTERFACE:MAC, rng, pci:ADDRESS, mdev:UUID.
monitor_q35() { qemu_start pci -M q35,usb=off -- "$@"; }

# The same on QEMU's smallest machine, with what its documentation says to leave out for the quickest boot. virtio is
# on its own MMIO transport as long as no assigned device asks for PCI.
monitor_microvm() {
  local machine=microvm,pit=off,pic=off,rtc=off
  if [[ " $* " == *" pci:"* || " $* " == *" mdev:"* ]]; then
    # PCI needs ACPI, thus SeaBIOS, which loads a kernel by an option ROM.
    qemu_start pci -M "$machine,pcie=on" -- "$@"
  else
    qemu_start device -M "$machine,acpi=off,x-option-roms=off" -- "$@"
  fi
}

qemu_start() {
  local bus=$1 arguments=() number=0
  shift
  while [[ $1 != -- ]]; do arguments+=("$1"); shift; done
  shift
  local log=$1 command_line=$2
  shift 2
  for device in "$@"; do
    number=$((number + 1))
    local kind=${device%%:*} value=${device#*:}
    case $kind in
      disk) arguments+=(-drive "if=none,id=d$number,file=$value,format=raw,cache=none,aio=io_uring"
        -device "virtio-blk-$bus,drive=d$number") ;;
      tap) arguments+=(-netdev "tap,id=d$number,ifname=${value%%:*},script=no,downscript=no,vhost=on"
        -device "virtio-net-$bus,netdev=d$number,mac=${value#*:}") ;;
      rng) arguments+=(-device "virtio-rng-$bus") ;;
      pci) arguments+=(-device "vfio-pci,host=$value") ;;
      mdev) arguments+=(-device "vfio-pci,sysfsdev=/sys/bus/mdev/devices/$value") ;;
    esac
  done
  qemu_ram
  qemu-system-x86_64 -name guest,debug-threads=on -nodefaults -no-user-config -display none -monitor none \
    -serial "file:$log" -accel kvm -cpu host -smp "$cpus,sockets=1,cores=$cpus,threads=1" "${ram[@]}" \
    -kernel "$guest_kernel" -initrd "$guest_initrd" -append "$command_line" "${arguments[@]}" \
    </dev/null >"$log.messages" 2>&1 &
  vmm_pid=$!
}
