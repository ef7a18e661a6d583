#include <cstdio>
#include <cstdlib>

#include "block/driver.h"
#include "img/tool.h"

namespace berth::img {
namespace {

constexpr std::string_view kText = R"(Disk images: create, inspect, check, convert, compare, change.

Commands:
  amend [--image-opts] [-p] [-q] [-f fmt] [-t cache] [--force] -o options filename
  bench [-c count] [-d depth] [-f fmt] [--flush-interval=interval] [-i aio] [-n] [--no-drain] [-o offset]
          [--pattern=pattern] [-q] [-s buffer_size] [-S step_size] [-t cache] [-w] [-U] filename
  bitmap (--merge source | --add | --remove | --clear | --enable | --disable)... [-b source_file [-F source_fmt]]
          [-g granularity] [--image-opts | -f fmt] filename bitmap
  check [--image-opts] [-q] [-f fmt] [--output=ofmt] [-r [leaks | all]] [-T src_cache] [-U] filename
  commit [--image-opts] [-q] [-f fmt] [-t cache] [-b base] [-r rate_limit] [-d] [-p] filename
  compare [--image-opts] [-f fmt] [-F fmt] [-T src_cache] [-p] [-q] [-s] [-U] filename1 filename2
  convert [--image-opts] [--target-image-opts] [--target-is-zero] [--bitmaps [--skip-broken-bitmaps]] [-U] [-c] [-p] [-q] [-n] [-f fmt] [-t cache]
          [-T src_cache] [-O output_fmt] [-B backing_file [-F backing_fmt]] [-o options] [-l snapshot]
          [-S sparse_size] [-r rate_limit] [-m num_threads] [-W] [--salvage] filename [filename2 [...]] output_filename
  create [-q] [-f fmt] [-b backing_file [-F backing_fmt]] [-u] [-o options] filename [size]
  dd [--image-opts] [-U] [-f fmt] [-O output_fmt] [bs=size] [count=blocks] [skip=blocks] if=input of=output
  info [--image-opts] [-f fmt] [--output=ofmt] [--backing-chain] [-U] filename
  io [--image-opts] [-f fmt] [-r] [-t cache] [-c command]... [filename]; -c help lists the commands
  map [--image-opts] [-f fmt] [--start-offset=offset] [--max-length=len] [--output=ofmt] [-U] filename
  measure [--output=ofmt] [-O output_fmt] [-o options] [--size N | [--image-opts] [-f fmt] [-l snapshot] filename]
  rebase [--image-opts] [-U] [-q] [-f fmt] [-t cache] [-T src_cache] [-p] [-u] [-c] -b backing_file [-F backing_fmt]
          filename
  resize [--image-opts] [-f fmt] [--preallocation=prealloc] [-q] [--shrink] filename [+ | -]size
  serve [-k socket | -p port] [-f fmt] [-e clients] [-t] [-r] ... filename; serve -h tells all
  snapshot [--image-opts] [-U] [-q] [-l | -a snapshot | -c snapshot | -d snapshot] filename

  filename    a path, or a description: json:{...}, or options with --image-opts
  fmt         a format; found by looking at the image where it is not given
  cache       none, writeback, writethrough, directsync, unsafe
  size        in bytes, or with a suffix k, M, G, T, P, E (of 1024)
  options     name=value,...; -o help lists those of a format
  ofmt        human or json
)";

}  // namespace

void Help() {
  fmt::print("usage: {} [-h | -V] command [options]\n{}\nSupported formats:", ProgramName(), kText);
  for (const block::Format* format : block::Formats()) fmt::print(" {}", format->name);
  fmt::print("\n");
  std::fflush(stdout);
  std::exit(0);
}

}  // namespace berth::img
