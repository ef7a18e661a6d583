# shellcheck shell=bash disable=SC2034,SC2154  # Variables are of, and for, those that source this.
# Guests that were sold half again as much memory as there is for them, under a load that touches memory and frees it:
# two of the three at a time, each pair in turn, fill 200 MiB of their own and let go of it. Sourced on the lab host, in
# the source directory, after tests/lab/berth.sh. What there is is the limit of the cgroup that all guests are in.
guests=(one two three)
pairs=("one two" "three one" "two three")
memory_mib=384 pool_mib=768 burst_mib=200
declare -A typing log console

# What berthd is told for this: half of what guests were sold is promised, and of that they can count on a quarter.
berthd_options=(--guest-memory-mib "$pool_mib" --memory-ratio 2 --memory-reservation-percent 25
  --memory-interval-seconds 2 --memory-pressure-percent 20)

# listen GUEST LOG: the guest's console will be read from $fifo, and written to LOG.
listen() {
  log[$1]=$2
  fifo=$(mktemp -u)
  mkfifo "$fifo"
  exec {fd}<>"$fifo"
  typing[$1]=$fd
}

start_berth_guests() {
  spec overcommit.json MEMORY=$((memory_mib << 20)) >"$directory/spec.json"
  for guest in "${guests[@]}"; do
    berth guest create "$guest" -f "$directory/spec.json" --start --wait >/dev/null
    listen "$guest" "$LAB_LOGS/overcommit.berth.$guest.log"
    berth guest console "$guest" <"$fifo" >"${log[$guest]}" 2>"${log[$guest]}.messages" &
    console[$guest]=$!
  done
  group=/sys/fs/cgroup/berth
}

# Plain QEMU, and nobody who manages it: the guest has a balloon that nobody fills.
start_qemu_guests() {
  local variables
  variables=$(tests/lab/guest/build)
  eval "$variables"
  group=/sys/fs/cgroup/qemu
  mkdir "$group"
  echo +memory >/sys/fs/cgroup/cgroup.subtree_control
  echo $((pool_mib << 20)) >"$group/memory.max"
  for guest in "${guests[@]}"; do
    listen "$guest" "$LAB_LOGS/overcommit.qemu.$guest.log"
    sh -c "echo \$\$ >$group/cgroup.procs; exec \"\$@\"" sh qemu-system-x86_64 -nodefaults -no-user-config \
      -display none -monitor none -chardev stdio,id=console,signal=off -serial chardev:console -accel kvm -cpu host \
      -smp 1 -m $memory_mib -object "memory-backend-memfd,id=ram,size=${memory_mib}M,share=on" \
      -machine q35,usb=off,memory-backend=ram -device virtio-balloon-pci \
      -kernel "$guest_kernel" -initrd "$guest_initrd" -append "console=ttyS0 quiet report.then=wait" \
      <"$fifo" >"${log[$guest]}" 2>"${log[$guest]}.messages" &
    console[$guest]=$!
  done
}

stop_qemu_guests() {
  for guest in "${guests[@]}"; do kill -9 "${console[$guest]}" 2>/dev/null || true; done
  for _ in {1..100}; do rmdir "$group" 2>/dev/null && break; sleep 0.2; done
}

killed() { sed -n 's/^oom_kill //p' "$group/memory.events"; }
stalled_us() { sed -n 's/^some .*total=//p' "$group/memory.pressure"; }

# await_guest GUEST PATTERN: until its console has a line like this. Fails where the guest is gone, or gets nowhere.
await_guest() {
  local end=$((SECONDS + 180)) now
  until grep -qE -- "$2" "${log[$1]}" 2>/dev/null; do
    kill -0 "${console[$1]}" 2>/dev/null && ((SECONDS < end)) || return 1
    now=$(sed -n 's/^some avg10=\([0-9]*\).*/\1/p' "$group/memory.pressure")
    ((now <= highest_pressure)) || highest_pressure=$now
    sleep 0.3
  done
}

# take_turns ROUNDS: the load. Sets turns_begun, turns_done, killed, pressure (% of the time), highest_pressure (of ten
# seconds) and seconds_a_turn.
take_turns() {
  local begun stalled pair
  turns_begun=0 turns_done=0 highest_pressure=0
  for guest in "${guests[@]}"; do
    await_guest "$guest" '^report: waiting' || continue
    # The root of an initramfs has room for half of the memory only.
    echo "mkdir /burst && mount -t tmpfs -o size=100% burst /burst" >&"${typing[$guest]}"
    echo "burst() { if dd if=/dev/zero of=/burst/file bs=1M count=$burst_mib 2>/dev/null && rm /burst/file;" \
      "then echo \"report: turn-\$1 done\"; else echo \"report: turn-\$1 failed\"; fi; }" >&"${typing[$guest]}"
  done
  begun=$(date +%s.%N) stalled=$(stalled_us)
  for ((round = 1; round <= $1; round++)); do
    for pair in "${pairs[@]}"; do
      turns_begun=$((turns_begun + 2))
      for guest in $pair; do echo "burst $turns_begun" >&"${typing[$guest]}"; done
      for guest in $pair; do
        await_guest "$guest" "^report: turn-$turns_begun " || continue
        ! grep -q "^report: turn-$turns_begun done" "${log[$guest]}" || turns_done=$((turns_done + 1))
      done
      ! declare -F each_turn >/dev/null || each_turn
    done
  done
  killed=$(killed)
  pressure=$(awk -v begun="$begun" -v end="$(date +%s.%N)" -v us="$(($(stalled_us) - stalled))" \
    'BEGIN { printf "%.2f", us / 1e4 / (end - begun) }')
  seconds_a_turn=$(awk -v begun="$begun" -v end="$(date +%s.%N)" -v turns="$turns_done" \
    'BEGIN { printf "%.1f", (end - begun) / (turns ? turns : 1) }')
}
