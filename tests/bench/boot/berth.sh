# shellcheck shell=bash disable=SC2154
# Berth's monitor running the lab's guests; sourced. The caller sets guest_kernel, guest_initrd, cpus, memory_mib.

# monitor_berth CONSOLE-LOG COMMAND-LINE DEVICE...: as monitor_q35.
monitor_berth() {
  local log=$1 command_line=$2 arguments=()
  shift 2
  for device in "$@"; do
    case $device in
      disk:*) arguments+=(--disk "${device#*:}") ;;
      tap:*)
        device=${device#*:}
        arguments+=(--tap "${device%%:*}/${device#*:}" --vhost)
        ;;
      rng) arguments+=(--rng) ;;
      pci:* | mdev:*) arguments+=(--vfio "${device#*:}") ;;
    esac
  done
  build/release/bin/vmm-launch --vmm build/release/bin/berth-vmm --cpus "$cpus" --memory "$memory_mib" --sandbox \
    --kernel "$guest_kernel" --initrd "$guest_initrd" --append "$command_line" "${arguments[@]}" \
    </dev/null >"$log" 2>"$log.messages" &
  local launcher=$!
  until vmm_pid=$(pgrep -P $launcher -x berth-vmm); do
    kill -0 $launcher || return 1
    sleep 0.01
  done
}
