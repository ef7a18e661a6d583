# shellcheck shell=bash
# Launches one guest and takes its measurements; sourced by measure.

# private_kib PID: memory that is this process's alone, without the guest's RAM, which is mapped from a file.
private_kib() {
  awk '/^[0-9a-f]+-[0-9a-f]+ / { ram = /-memory[0-9]+ \(deleted\)|qemu_back_mem/ }
       /^Private_(Clean|Dirty):/ && !ram { sum += $2 }
       END { print sum + 0 }' "/proc/$1/smaps"
}

# measure CASE MONITOR ROUND DEVICE...
measure() {
  local case=$1 monitor=$2 round=$3 log begun seen
  shift 3
  log=$LAB_LOGS/$monitor.$round.$#.console.log
  : >"$log"
  begun=$EPOCHREALTIME
  "monitor_$monitor" "$log" "console=ttyS0 quiet report.hold=30 report.then=wait" "$@"
  # tail wakes up when the log grows.
  while read -r -t 240 line; do
    [[ $line != *"report: user-space"* ]] || break
  done < <(exec tail -n +1 -f "$log" --pid="$vmm_pid" 2>/dev/null)
  seen=$EPOCHREALTIME
  local exits kib
  exits=$(cat /sys/kernel/debug/kvm/"$vmm_pid"-*/exits)
  if [[ $line != *"report: user-space"* ]]; then
    echo "measure: $monitor did not come to user space ($case); its console and messages:"
    tail -n 20 "$log" "$log".*
    exit 1
  fi
  sleep 2
  kib=$(private_kib "$vmm_pid")
  # The process that was started ends with the monitor.
  kill "$vmm_pid"
  wait || true
  printf '%s\t%s\t%s\t%s\n' \
    "$case" "time, ms" "$monitor" "$(awk "BEGIN { printf \"%.0f\", ($seen - $begun) * 1000 }")" \
    "$case" "memory, KiB" "$monitor" "$kib" "$case" "exits" "$monitor" "$exits" | tee -a /lab/measurements
}
