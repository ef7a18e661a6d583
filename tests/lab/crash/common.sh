# shellcheck shell=bash
# For the tests of tests/lab/crash; sourced. A guest that takes a bit of everything, and the moments at which to strike:
# the daemon's commits to its store, of which there is one before and one after each change that it makes to the host.
source tests/lab/berth.sh
step() { echo; echo "== $*"; }
directory=$(mktemp -d)
trap 'kill -9 $(jobs -p) 2>/dev/null || true; lab-reset' EXIT
# Where states of the daemon wait for the next boot of the host.
states=/lab/states

# prepare_host: what the guest needs, and a daemon. The guest's spec is then in $directory/spec.json, and the host's state
# in $directory/before.
prepare_host() {
  lab-bridge
  ip link set "$(lab-nic igb)" up
  truncate -s 16M /run/crash.img
  spec crash.json DISK=/run/crash.img NIC_PF="$(lab-nic igb --pci)" EDU="$(lspci -Dn -d 1234:11e8 | cut -d' ' -f1)" \
    >"$directory/spec.json"
  start_berthd
  lab-state >"$directory/before"
}
create() { berth guest create web -f "$directory/spec.json" --start --wait; }

# strike_at SIGNAL WHEN: the daemon gets the signal when one of its threads commits: for the WHEN-th time, or, with a "+"
# behind it, each time from then on.
strike_at() {
  strace -f -p "$berthd_pid" -e trace=fdatasync -e inject=fdatasync:signal="$1":when="$2" -o /dev/null \
    2>"$directory/strace" &
  strace_pid=$!
  until grep -q attached "$directory/strace"; do sleep 0.05; done
}

strike_no_more() {
  kill "$strace_pid" 2>/dev/null || true
  wait "$strace_pid" 2>/dev/null || true
}

# at_each_commit FUNCTION COMMAND...: runs the command, and at each commit of the daemon that it causes, while the daemon
# stands still, the function, which gets the commit's number. Fails with the command. Sets commits.
at_each_commit() {
  local function=$1 command status=0
  shift
  commits=0
  strike_at SIGSTOP 1+
  "$@" &
  command=$!
  while kill -0 $command 2>/dev/null; do
    # A thread that strace looks at stands still, too; all of them do so only for the signal.
    if [[ $(sed -n 's/^State:\t\(.\).*/\1/p' /proc/"$berthd_pid"/task/*/status | sort -u) =~ ^[Tt]([[:space:]][Tt])?$ ]]; then
      commits=$((commits + 1))
      "$function" $commits
      kill -CONT "$berthd_pid"
    fi
    sleep 0.05
  done
  strike_no_more
  kill -CONT "$berthd_pid"
  wait $command || status=$?
  return $status
}

# guest_state: the guest's, or nothing where there is no guest.
guest_state() { berth guest list -o json | sed -n 's/^ *"state": "\(.*\)".*/\1/p'; }

# expect_in_order STATE...: the guest, if it is there, is in one of these; once it is deleted, the host is as before and
# all its devices are free.
expect_in_order() {
  local state
  state=$(guest_state)
  echo "the guest: ${state:-gone}"
  [[ " ${*:2} " == *" ${state:-GONE} "* ]] || { echo "WRONG: $1"; berth guest show web; return 1; }
  berth guest delete web --force --ignore-missing --wait
  lab-state --settle "$directory/before"
  expect_equal "devices in use" "$(berth host devices --all -o name --filter 'state != AVAILABLE AND state != UNASSIGNABLE')" ''
}

# died SECONDS: whether the daemon has, or does within so long.
died() {
  local tries=$(($1 * 10))
  while ((tries-- > 0)); do
    kill -0 "$berthd_pid" 2>/dev/null || return 0
    sleep 0.1
  done
  return 1
}

# killed_at_each WHAT BEFORE STATE...: after BEFORE, the daemon is killed at the first commit of WHAT, then at its second,
# and so on until it has none left. In these states the guest may then be.
killed_at_each() {
  local what=$1 before=$2 commit status
  shift 2
  for ((commit = 1; ; commit++)); do
    step "$what, killed at commit $commit"
    $before
    strike_at SIGKILL $commit
    status=0
    $what >"$directory/said" 2>&1 || status=$?
    if ! died $((status == 0 ? 1 : 10)); then
      strike_no_more
      cat "$directory/said"
      expect_equal "its status" $status 0
      expect_in_order "not what the command leaves" "$@"
      echo "$what has $((commit - 1)) commits"
      ((commit > 1)) || { echo "WRONG: nothing was killed"; return 1; }
      return
    fi
    wait "$berthd_pid" 2>/dev/null || true
    strike_no_more
    start_berthd
    expect_in_order "killed at commit $commit" "$@"
  done
}
