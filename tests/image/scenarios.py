"""Commands that berth-img and qemu-img must answer alike; see tests/image/differential."""
import random
import re

QCOW2_OPTIONS = ["cluster_size=512", "cluster_size=4k", "cluster_size=2M", "compat=0.10", "refcount_bits=1",
                 "refcount_bits=64", "lazy_refcounts=on", "compression_type=zstd", "extended_l2=on",
                 "preallocation=metadata", "preallocation=falloc", "preallocation=full"]

SECRET, KEY = "--object secret,id=s,data=pw", "key-secret=s,iter-time=10"
LUKS = "--image-opts driver=luks,key-secret=s,file.filename=l"
BROKEN = ('json:{"driver": "raw", "file": {"driver": "blkdebug", "image": {"driver": "file", "filename": "b"}, "inject-error": '
          '[{"event": "read_aio", "sector": "10"}, {"event": "read_aio", "sector": "300"}]}}')
QCOW2 = "--image-opts driver=qcow2,encrypt.key-secret=s,file.filename="

ARGUMENTS = {
    "none": ["", "foo", "create", "info", "check", "map", "compare", "measure", "resize", "convert", "info -x",
             "info --foo", "create -x", "convert -f", "resize a", "check a b", "map a b", "compare a", "info a b"],
    "create_refused": [
        "create -f foo x 1M", "create -f qcow2 x", "create -f qcow2 x 1Z", "create -f qcow2 x -- -1",
        "create -f qcow2 -o bar=1 x 1M", "create -f qcow2 -o cluster_size=3 x 1M",
        "create -f qcow2 -o cluster_size=abc x 1M", "create -f qcow2 /nodir/x 1M", "create -f qcow2 x 1M 2M",
        "create -f qcow2 -o size=2M x 1M", "create -o lazy_refcounts x5 1000", "create -f qcow2 x7 8E",
        "create -f qcow2 x7 16E", "create -f qcow2 -b nofile x", "create -f qcow2 -b nofile -F raw x",
        "create -f raw -b b.raw x7 1M"],
    "create_named": ["create -f qcow2 x3 1.5M", "create x4 1000", "create -f qcow2 x5 1000",
                     "create -f qcow2 -o lazy_refcounts x6 1k", "create -q -f raw b.raw 1M",
                     "create -f qcow2 -b b.raw -F raw o.qcow2", "create -f qcow2 -b b.raw o2.qcow2 2M",
                     "create -f qcow2 -u -b nof -F raw o3.qcow2 2M", "create -f qcow2 -o size=2M x",
                     "create -f qcow2 -o backing_file=b.raw,backing_fmt=raw x2", "create -f raw -o preallocation=full x6 1k",
                     "info o.qcow2", "info --backing-chain o.qcow2", "info --backing-chain --output=json o.qcow2",
                     "info o3.qcow2", "info --output=json x3"],
    "create_help": ["create -f qcow2 -o help", "create -f raw -o help", "convert -O qcow2 -o help"],
    "info": ["!file b.raw 1048576 0 4096 1", "info b.raw", "info --output=json b.raw", "info nofile", "info -f foo b.raw",
             "info -f qcow2 b.raw", "info --output=foo b.raw", "create -q -f qcow2 q 1G", "info q",
             "info --output=json q", "info --image-opts driver=qcow2,file.filename=q",
             "info 'json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"q\"}}'",
             "info --image-opts driver=qcow2,file.filename=q,foo=bar", "info --image-opts file.filename=q",
             "info --image-opts foo"],
    # The tools run one after the other: what has a date in it is made once.
    "snapshots": ["create -q -f qcow2 q 1M", "!io -c 'write 0 200k' q", "!snapshot q one",
                  "!snapshot q 'a longer name than there is room for'", "info q", "info --output=json q", "check q",
                  "!io -c 'write 64k 100k' q", "check q", "map --output=json q", "convert q r", "resize q 2M", "check q"],
    "snapshot_refused": [
        "snapshot", "create -q -f qcow2 q 1M", "snapshot q", "snapshot -l -c a q", "snapshot -d x q", "snapshot -a x q",
        "snapshot -f raw q", "snapshot -c q", "snapshot -l nofile", "create -q -f raw r 1M", "snapshot -c a r",
        "snapshot -d a r", "snapshot -l r", "create -q -f qcow2 -o refcount_bits=1 one 1M",
        "!io -c 'write 0 300k' one", "snapshot -c a one", "create -q -f qcow2 -o data_file=data,data_file_raw=on d 1M",
        "snapshot -c a d", "snapshot -a a d", "snapshot -d a d", "snapshot -l d", "convert -l x q o",
        "convert -l snapshot.foo=1 q o", "convert -l snapshot.id=1 q o", "convert -l a q q o", "convert -l a r o"],
    "snapshot": ["create -q -f qcow2 q 1M", "snapshot -l q", "!io -c 'write -P 1 0 300k' q", "snapshot -c a q", "check q",
                 "snapshot -l q", "!io -c 'write -P 2 100k 300k' -c 'write -z 0 64k' -c 'discard 512k 128k' q", "check q",
                 "snapshot -q -c a q", "snapshot -c 'a longer name than there is room for' q", "snapshot -l q", "info q",
                 "convert -l a q one", "convert -l 2 -O qcow2 q two", "convert -l snapshot.id=2 q two.raw",
                 "convert -l snapshot.name=a,snapshot.id=2 q two2.raw", "convert -l snapshot.name=a,snapshot.id=3 q three.raw",
                 "snapshot -a 1 q", "check q", "map --output=json q", "!io -c 'write -P 3 0 1M' q", "check q",
                 "snapshot -d a q", "check q", "snapshot -l q", "snapshot -a a q", "check q", "snapshot -d 3 q",
                 "snapshot -d a q", "snapshot -l q", "check q", "info q", "!io -c 'write -P 4 0 1M' q", "check q"],
    "snapshot_resized": ["create -q -f qcow2 q 1M", "!io -c 'write -P 1 0 1M' q", "snapshot -c a q", "resize q 3M",
                         "!io -c 'write -P 2 512k 2M' q", "snapshot -c b q", "resize --shrink q 512k", "check q",
                         "convert -l a q a.raw", "convert -l b q b.raw", "measure -O qcow2 -l a q",
                         "measure -O qcow2 -l snapshot.name=b q", "measure -O qcow2 -l no q", "snapshot -a a q", "info q", "check q",
                         "snapshot -a b q", "info q", "check q", "resize q 2G", "check q", "snapshot -c c q",
                         "snapshot -a a q", "info q", "snapshot -a c q", "info q", "check q"],
    "snapshot_compressed": ["!file b 1048576 0 400000 1 524288 100000 2", "convert -c -O qcow2 b q", "snapshot -c a q",
                            "check q", "!io -c 'write -P 9 64k 200k' q", "check q", "snapshot -a a q", "check q",
                            "snapshot -d a q", "check q"],
    "snapshot_backed": ["!file b 1048576 0 400000 1 524288 100000 2", "create -q -f qcow2 -b b -F raw q 2M",
                        "!io -c 'write -P 9 64k 200k' q", "snapshot -c a q", "check q", "!io -c 'write -P 8 64k 1M' q",
                        "convert -l a q a.raw", "snapshot -a a q", "check q", "snapshot -d a q", "check q"],
    "snapshot_vmstate": ["create -q -f qcow2 q 1M", "!io -c 'write -b -P 5 0 200k' -c 'write -P 1 0 64k' q",
                         "snapshot -c a q", "check q", "snapshot -l q", "!io -c 'write -P 3 0 300k' q", "snapshot -a a q",
                         "check q", "snapshot -d a q", "check q"],
    "bitmap_refused": [
        "bitmap", "bitmap q", "create -q -f qcow2 q 4M", "bitmap q b", "bitmap --add q", "bitmap --add -g 3 q b",
        "bitmap --add -g 256 q b", "bitmap --add -g foo q b", "bitmap --remove q no", "bitmap --clear q no",
        "bitmap --enable q no", "bitmap --disable q no", "bitmap --merge no q b", "bitmap --add q b", "bitmap --add q b",
        "bitmap --merge no q b", "bitmap -g 64k --clear q b", "bitmap -b q --clear q b", "bitmap -F qcow2 --merge b q b",
        "bitmap --add nofile b", "bitmap --add q ''", "bitmap --add -b q -F qcow2 --merge b q b7", "!file raw 1048576",
        "convert --bitmaps -O raw q r", "convert --bitmaps -O qcow2 -o compat=0.10 q r2",
        "convert --bitmaps -f raw -O qcow2 raw r3", "convert --skip-broken-bitmaps -O qcow2 q r4", "info q"],
    "bitmap": [
        "create -q -f qcow2 q 4M", "bitmap --add q b", "bitmap --add -g 32k q b2", "bitmap --add -g 4k q fine", "info q",
        "bitmap --disable q b", "info --output=json q", "check q", "!io -c 'write 0 100k' -c 'write 1M 10k' q", "info q",
        "check q", "bitmap --merge b2 q b", "bitmap --add --disable q b5", "bitmap --add --merge b2 --enable q b6",
        "bitmap --clear q b2", "create -q -f qcow2 r 4M", "bitmap --add -b q -F qcow2 --merge b6 r b7",
        "bitmap -b q -F qcow2 --merge no r b7", "info r", "measure -O qcow2 q", "measure -O qcow2 r",
        "measure --output=json -O qcow2 q", "convert --bitmaps -O qcow2 q conv", "info conv", "check conv",
        "bitmap --clear --remove q b", "info q", "check q", "resize q 8M", "resize --shrink q 1M", "info q", "check q",
        "!file raw 1048576 0 500000 7", "convert -n -O qcow2 raw q", "info q", "check q", "bitmap --remove q fine",
        "bitmap --remove q b2", "bitmap --remove q b5", "bitmap --remove q b6", "info q", "check q"],
    "rebase_refused": [
        "rebase", "create -q -f raw base 1M", "create -q -f qcow2 -b base -F raw q 1M", "rebase q", "rebase -b nofile q",
        "rebase -b nofile -F raw q", "rebase -b base q", "rebase -F foo -b base q", "rebase -b q -F qcow2 q",
        "rebase -t foo -b base q", "rebase -T foo -b base q", "rebase -u -b base q", "rebase -F raw q",
        "rebase -b base -F raw nofile", "rebase -f raw -b base -F raw base", "info q"],
    "rebase": [
        "!file base 4194304 0 1048576 1", "!file other 4194304 0 2097152 1 3145728 1000 2", "!file short 1048576 0 70000 1",
        "create -q -f qcow2 -b base -F raw a", "!io -c 'write -P 2 512k 300k' -c 'write -z 3M 64k' a",
        "create -q -f qcow2 -b a -F qcow2 b 5M", "!io -c 'write -P 3 64k 100k' b", "rebase -u -b nofile -F raw b", "info b",
        "rebase -b base -F raw b", "rebase -u -b a -F qcow2 b", "rebase -b base -F raw b", "map --output=json b",
        "check b", "rebase -F raw -b other b", "info b", "compare a b", "rebase -F raw -b short b", "check b",
        "rebase -b a -F qcow2 b", "check b", "rebase -b '' b", "info b", "check b", "rebase -u -b '' b", "rebase -u b",
        "rebase -q -p -u -F raw -b base b", "info b"],
    # What is behind the end of the image beneath reads as zeroes, whatever the image below that has there.
    "rebase_short": [
        "!file base 2359296 0 2347856 1", "create -q -f qcow2 -b base -F raw b 2293760",
        "create -q -f qcow2 -b b -F qcow2 c 2359296", "rebase -b base -F raw c",
        "create -q -f qcow2 -b b -F qcow2 -o compat=0.10 d 2359296", "rebase -b base -F raw d"],
    "commit_refused": [
        "commit", "commit x y", "create -q -f raw base 1M", "create -q -f qcow2 -b base -F raw q", "commit -b nofile q",
        "commit -f raw base", "commit -r foo q", "commit -t foo q", "commit nofile", "commit -b q q",
        "create -q -f qcow2 alone 1M", "commit alone"],
    "commit": [
        "!file base 4194304 0 1048576 1", "create -q -f qcow2 -b base -F raw a", "!io -c 'write -P 2 512k 300k' a",
        "create -q -f qcow2 -b a -F qcow2 b 5M",
        "!io -c 'write -P 3 64k 100k' -c 'write -z 1M 64k' -c 'write 4M 64k' b", "create -q -f qcow2 -b b -F qcow2 c 4M",
        "!io -c 'write -P 7 640k 100k' c", "commit -d b", "map --output=json b", "commit b", "info a", "map --output=json b",
        "check b", "check a", "commit -b base c", "map --output=json c", "info base", "commit -q c", "check c", "commit -r 100M b",
        "check b", "commit a", "map --output=json a", "check a"],
    "dd_refused": [
        "dd", "dd if=base", "dd of=x", "!file base 1000000 0 900000 1", "dd if=base of=o bs=0", "dd if=base of=o bs=foo",
        "dd if=base of=o count=foo", "dd if=base of=o foo=1", "dd if=base of=o foo", "dd if=nofile of=o",
        "dd if=base of=/nodir/o", "dd -f raw -O foo if=base of=o", "dd -f foo if=base of=o", "dd if=base of=o bs=3G",
        "dd -x if=base of=o", "dd if=base of=o skip=foo", "dd if=base of=o count=99999999999999999999"],
    "dd": ["!file base 1000000 0 900000 1", "convert -O qcow2 base q", "dd if=base of=o", "info o",
           "dd if=base of=o1 bs=1M count=1 -O qcow2", "info o1", "dd if=q of=o2 bs=4k skip=10 count=3",
           "dd if=q of=o3 bs=4k skip=1000", "dd if=q of=o4 bs=1000 count=3", "dd if=q of=o5 bs=4k skip=3",
           "dd --image-opts if=driver=qcow2,file.filename=q of=o6", "dd -U if=q of=o7", "dd if=q of=o8 bs=4k skip=2 count=9"],
    "bench_refused": [
        "bench", "create -q -f qcow2 z 4M", "bench -c foo z", "bench -d foo z", "bench -s foo z", "bench -S foo z",
        "bench -o foo z", "bench --pattern=999 z", "bench --pattern=foo -w z", "bench --flush-interval=foo z",
        "bench -n -c 5 z", "bench -i native -c 5 z", "bench -i foo -c 5 z", "bench -t foo -c 5 z", "bench -c 5 nofile",
        "bench -c 5 -o 8M z", "bench -c 5 -s 8M z", "bench z z", "bench -c 100 --flush-interval=10 -w z",
        "bench -c 100 --flush-interval=10 z"],
    "bench": ["create -q -f qcow2 z 4M", "bench -c 10 z", "bench -c 10 -w --pattern=7 -s 64k -S 128k -d 4 z",
              "map --output=json z", "bench -c 100 --flush-interval=100 -d 64 -w z", "bench --no-drain -c 5 z",
              "bench -i io_uring -c 5 z", "bench -c 0 z", "bench -c 5 -U z", "check z"],
    "amend_refused": [
        "amend", "create -q -f qcow2 q 1M", "create -q -f raw base 1M", "amend q", "amend -o foo=1 q", "amend -o compat=7 q",
        "amend -o cluster_size=4k q", "amend -o preallocation=full q", "amend -o extended_l2=on q",
        "amend -o refcount_bits=3 q", "amend -o refcount_bits=128 q", "amend -o backing_file=base,backing_fmt=raw q",
        "amend -o data_file_raw=on q", "amend -o data_file=foo q", "amend -f raw -o size=1M base", "amend -f qcow2 -o help",
        "amend -f raw -o help", "amend -o help", "amend -o help q", "amend -f foo -o help", "amend -o compat=1.1 nofile",
        "amend -t foo -o compat=1.1 q", "amend -o refcount_bits=64 q", "amend -o compat=0.10 q",
        "amend -o refcount_bits=16,compat=0.10 q", "amend -o refcount_bits=1 q", "amend -o lazy_refcounts=on q", "info q",
        "create -q -f qcow2 -o extended_l2=on e 1M", "amend -o compat=0.10 e"],
    "amend": [
        "create -q -f qcow2 q 4M", "!io -c 'write -P 1 0 300k' q", "amend -o compat=0.10 q", "info q",
        "amend -o compat=1.1,lazy_refcounts=on q", "info q", "check q", "amend -o refcount_bits=64 q", "check q",
        "amend -o refcount_bits=16 q", "amend -o compat=0.10 q", "info q", "amend -o compat=1.1 q",
        "amend -o refcount_bits=1 q", "check q", "info q", "amend -o size=8M q", "info q", "amend -o size=1M q", "check q",
        "amend --force -o compat=v3 -o lazy_refcounts=off q", "info q", "amend -o refcount_bits=8 q", "snapshot -c a q",
        "amend -o refcount_bits=1 q", "check q", "create -q -f qcow2 zz 1M",
        "!io -c 'write -z 0 128k' -c 'write 128k 64k' -c 'write -z 128k 64k' zz", "amend -o compat=0.10 zz",
        "map --output=json zz", "check zz", "!file base 1048576 0 500000 1", "create -q -f qcow2 -b base -F raw b",
        "!io -c 'write -z 0 128k' b", "amend -o compat=0.10 b", "map b", "check b"],
    "luks_refused": [
        "!file b 1048576 0 300000 7", "create -f luks x 1M", "create -f luks -o key-secret=s x 1M",
        f"create {SECRET} -f luks -o key-secret=s,cipher-alg=foo x 1M", f"create {SECRET} -f luks -o key-secret=s,hash-alg=foo x 1M",
        f"create {SECRET} -f luks -o key-secret=s,cipher-mode=foo x 1M", "create -f luks -o help", "amend -f luks -o help",
        "convert -O luks b x", f"convert {SECRET} -c -O luks -o key-secret=s b x", "measure -O luks --size 10M",
        "create -f qcow2 -o encrypt.format=foo x 1M", "create -f qcow2 -o encrypt.format=luks x 1M",
        f"create {SECRET} -f qcow2 -o encrypt.key-secret=s x 1M", f"create {SECRET} -f qcow2 -o encrypt.format=aes,encrypt.iter-time=1,encrypt.key-secret=s x 1M",
        f"create {SECRET} -f qcow2 -o encrypt.format=luks,encryption=on,encrypt.key-secret=s x 1M",
        f"convert {SECRET} -c -O qcow2 -o encrypt.format=luks,encrypt.key-secret=s b x",
        "measure -O qcow2 -o encrypt.format=luks --size 10M", "create -q -f qcow2 q 1M",
        "info --image-opts driver=qcow2,file.filename=q,encrypt.format=luks", "info --object secret b", "info --object secret,id=x b",
        "info --object secret,id=x,foo=1 b", "info --object secret,id=x,data=a,file=b b", "info --object secret,id=x,file=/nonexist b",
        "info --object secret,id=x,data=a,format=foo b", "info --object 'secret,id=x,data=!!,format=base64' b",
        "amend -o encrypt.state=active q"],
    "luks": [
        "!file b 1048576 0 300000 7 900000 5000 9", f"!made l create {SECRET} -f luks -o {KEY} l 1M", "info l", "info --output=json l",
        "map l", "check l", "convert l o", f"convert {SECRET} l o", f"convert --object secret,id=s,data=pX {LUKS} o",
        f"convert {LUKS} o", f"convert {SECRET} {LUKS} o", f"check {SECRET} {LUKS}", f"map {SECRET} {LUKS}",
        f"map {SECRET} --output=json {LUKS}", f"measure {SECRET} -O qcow2 {LUKS}",
        f"convert {SECRET} -n --target-image-opts b driver=luks,key-secret=s,file.filename=l",
        f"convert {SECRET} -f raw -n --target-image-opts b driver=luks,key-secret=s,file.filename=l",
        f"compare {SECRET} {LUKS} driver=raw,file.filename=b", f"compare --object secret,id=s,data=cHc=,format=base64 {LUKS} driver=raw,file.filename=b",
        f"convert {SECRET} -f raw -n --target-image-opts b driver=luks,key-secret=s,file.driver=raw,file.file.filename=l",
        f"convert {SECRET} -f raw -n --target-image-opts b driver=raw,offset=0,file.driver=luks,file.key-secret=s,file.file.filename=l",
        f"compare {SECRET} {LUKS} driver=raw,file.filename=b", f"resize {SECRET} {LUKS} 2M", f"compare {SECRET} {LUKS} driver=raw,file.filename=b",
        f"amend {SECRET} -o state=inactive,keyslot=0 {LUKS}", f"amend {SECRET} -o state=inactive {LUKS}", f"amend {SECRET} -o state=active {LUKS}",
        f"amend {SECRET} -o keyslot=1 {LUKS}", f"amend {SECRET} -o state=active,new-secret=s,keyslot=9 {LUKS}",
        f"amend {SECRET} -o state=active,new-secret=s,keyslot=0 {LUKS}", f"amend {SECRET} -o state=inactive,new-secret=s,keyslot=3 {LUKS}",
        f"amend {SECRET} -o state=inactive,keyslot=3 {LUKS}", f"amend {SECRET} -o state=foo {LUKS}",
        f"amend {SECRET} -o state=inactive,old-secret=s,iter-time=5 {LUKS}", f"amend {SECRET} -o state=inactive,old-secret=s {LUKS}",
        f"amend {SECRET} -o state=active,new-secret=nope {LUKS}", f"amend {SECRET} -o size=1M {LUKS}",
        f"amend {SECRET} --object secret,id=n,data=new -o state=inactive,old-secret=n,keyslot=0 {LUKS}",
        f"!made l amend {SECRET} --object secret,id=n,data=new -o state=active,new-secret=n,iter-time=10 {LUKS}", "info l",
        f"amend {SECRET} -o state=inactive,old-secret=s {LUKS}", "info l", f"convert {SECRET} {LUKS} o2",
        f"convert --object secret,id=s,data=new {LUKS} o2"],
    "filters": [
        "create -q -f qcow2 b 4M", "!io -c 'write -P 5 0 1M' b", "create -q -f qcow2 -b b -F qcow2 t",
        "info --image-opts driver=throttle,throttle-group=h,file.filename=b", "info --image-opts driver=throttle,file.filename=b",
        "info --image-opts driver=copy-on-read,file.filename=b", "info --image-opts driver=compress,file.filename=b",
        "info --image-opts driver=compress,file.driver=raw,file.file.filename=b", "info --image-opts driver=compress",
        "info -f throttle b", "info -f compress b", "create -f compress x 1M", "create -f throttle x 1M", "convert -O compress b x",
        "info --object throttle-group,id=g,foo=1 b", "info --object throttle-group,id=g,x-iops-total=-5 b",
        "info --object throttle-group,x-iops-total=5 b", "info --object throttle-group,id=g,x-iops-total=5,x-iops-read=5 b",
        "info --object throttle-group,id=g,x-iops-total-max=5 b",
        "check --image-opts driver=copy-on-read,file.driver=qcow2,file.file.filename=t",
        "convert --object throttle-group,id=g,x-iops-total=1000 --image-opts driver=throttle,throttle-group=g,file.driver=qcow2,file.file.filename=t o",
        "io --image-opts -c 'read -P 5 0 100k' driver=copy-on-read,file.driver=qcow2,file.file.filename=t", "map --output=json t", "check t",
        "io --image-opts -c 'write -P 9 100k 10k' driver=throttle,throttle-group=g,file.driver=qcow2,file.file.filename=t",
        "io --object throttle-group,id=g --image-opts -c 'write -P 9 100k 10k' driver=throttle,throttle-group=g,file.driver=qcow2,file.file.filename=t",
        "create -q -f qcow2 e 1M",
        "io --image-opts -c 'write -P 9 0 64k' -c 'write -P 8 128k 10k' -c 'write -P 7 300k 100k' -c 'write -P 6 960k 64k' driver=compress,file.driver=qcow2,file.file.filename=e",
        "map --output=json e", "check e",
        "convert -n --target-image-opts b driver=compress,file.driver=qcow2,file.file.filename=e", "convert -O qcow2 b n",
        "create -q -f qcow2 f 4M", "convert -n --target-image-opts b driver=compress,file.driver=qcow2,file.file.filename=f", "compare b f", "check f"],
    "nested": [
        "create -q -f qcow2 b 4M", "!io -c 'write -P 5 0 1M' -c 'write -P 6 3M 10k' b",
        "convert --image-opts driver=raw,size=1M,offset=512k,file.driver=qcow2,file.file.filename=b w",
        "convert 'json:{\"driver\": \"raw\", \"file\": {\"driver\": \"qcow2\", \"file\": {\"driver\": \"file\", \"filename\": \"b\"}}}' v",
        "compare --image-opts driver=raw,file.driver=qcow2,file.file.filename=b driver=qcow2,file.filename=b",
        "io --image-opts -c 'write -P 7 0 100k' driver=raw,size=1M,offset=512k,file.driver=qcow2,file.file.filename=b", "check b",
        "convert -O raw b c", "create -q -f qcow2 i 2M", "convert -O raw i h",
        "io --image-opts -c 'write -P 7 1M 100k' -c 'read -P 7 1M 100k' driver=qcow2,file.driver=raw,file.file.filename=i", "check i"],
    "subclusters": [
        "!file b 1048576 0 1048576 9", "create -q -f qcow2 -o extended_l2=on -b b -F raw q", "io -c 'write -P 3 150000 5000' q",
        "map --output=json q", "io -c 'write -P 4 60000 70000' -c 'write -z 200000 3000' q", "map --output=json q", "check q",
        "io -c 'write -P 5 200500 300' -c 'write -P 6 128k 64k' -c 'discard 256k 3k' -c 'write -P 7 260k 1k' q", "map --output=json q",
        "snapshot -c s q", "io -c 'write -P 8 151k 1k' -c 'write -P 8 500k 200k' q", "check q", "convert -c -O qcow2 -o extended_l2=on q p",
        "io -c 'write -P 1 151k 1k' p", "check p", "measure -O qcow2 -o extended_l2=on q", "rebase -b '' q", "check q"],
    "read_only_formats": [
        command for form, grain in (("qed", "cluster_size=4k"), ("parallels", "cluster_size=4k"), ("qed", "cluster_size=64k"),
                                    ("parallels", "cluster_size=1M"))
        for name in [form + grain[13:15]] for command in (
            f"!made {name} create -f {form} -o {grain} {name} 40M", f"!change {name} -c 'write -P 5 100k 300k' -c 'write -P 6 35M 64k' -c 'write -z 200k 100k' -c 'write -z 3M 1M'",
            f"info {name}", f"map {name}", f"map --output=json {name}", f"convert {name} {name}.raw", f"compare {name} {name}.raw", f"measure -O qcow2 {name}",
            f"convert -f {form} -O qcow2 {name} {name}.q")] + [
        "!file b 1048576 0 300000 7", "!made top create -f qed -b b -F raw top 2M", "!change top -c 'write -P 5 100k 10k' -c 'write -z 0 64k'", "info top",
        "map --output=json top", "convert top top.raw", "create -q -f qcow2 -b top -F qed q", "convert q q.raw", "!poke top 16 09", "info top"],
    "salvage": ["!file b 1048576 0 700000 7", f"convert '{BROKEN}' o", f"convert --salvage '{BROKEN}' p",
                f"convert --salvage -n '{BROKEN}' p", f"convert --salvage -O qcow2 '{BROKEN}' q"],
    "offload": [
        "!file b 4194304 0 1048576 1 3145728 1000 2", "convert -O qcow2 b q", "convert -C -O raw b c", "convert -C -O raw q d",
        "convert -C -O qcow2 q e", "convert -C -c -O qcow2 b f", "convert -C -S 4k b f", "convert -C --salvage b f", "convert -C b q g"],
    "encrypted_qcow2": [
        "!file b 1048576 0 300000 7 900000 5000 9",
        f"!made q create {SECRET} -f qcow2 -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 q 1M",
        f"create {SECRET} -f qcow2 -o encrypt.format=aes,encrypt.key-secret=s a 1M", "info q", "info --output=json q", "info a",
        "check q", "convert a o", "snapshot -c a q", f"check {SECRET} {QCOW2}q", f"map {SECRET} {QCOW2}q",
        f"convert {SECRET} -f raw -n --target-image-opts b driver=qcow2,encrypt.key-secret=s,file.filename=q",
        f"convert {SECRET} -f raw -n --target-image-opts b driver=qcow2,encrypt.key-secret=s,encrypt.format=aes,file.filename=a",
        f"convert {SECRET} -f raw -n --target-image-opts b driver=qcow2,encrypt.key-secret=s,encrypt.format=aes,file.filename=q",
        f"compare {SECRET} {QCOW2}q driver=raw,file.filename=b", f"compare {SECRET} {QCOW2}a driver=raw,file.filename=b",
        f"check {SECRET} {QCOW2}q", f"check {SECRET} {QCOW2}a", f"measure {SECRET} -O qcow2 {QCOW2}q",
        f"snapshot {SECRET} -c one {QCOW2}q", f"resize {SECRET} {QCOW2}q 3M", f"check {SECRET} {QCOW2}q", f"convert {SECRET} {QCOW2}q o",
        f"amend {SECRET} -o encrypt.state=inactive,encrypt.keyslot=0 {QCOW2}q", f"amend {SECRET} -o encrypt.new-secret=s {QCOW2}q",
        f"amend {SECRET} -o encrypt.state=active,encrypt.new-secret=s {QCOW2}a", f"amend {SECRET} -o encrypt.key-secret=s {QCOW2}q",
        f"!made q amend {SECRET} --object secret,id=n,data=new -o encrypt.state=active,encrypt.new-secret=n,encrypt.iter-time=10 {QCOW2}q",
        f"amend {SECRET} -o encrypt.state=inactive,encrypt.old-secret=s {QCOW2}q", "info q", f"convert {SECRET} {QCOW2}q o",
        f"compare --object secret,id=s,data=new {QCOW2}q driver=raw,file.filename=b"],
    "check": ["!file b.raw 1048576", "check b.raw", "check nofile", "create -q -f qcow2 q 1M", "check q",
              "!io -c 'write 64k 128k' -c 'write -z 512k 64k' q", "check q", "check --output=json q", "check -r foo q",
              "check -q q", "check -r all q", "check -r leaks --output=json q", "check -T foo q"],
    "check_leak": ["create -q -f qcow2 q 1M", "!io -c 'write 0 64k' q", "!poke q 0x2000e 0001", "check q",
                   "check --output=json q", "check -r leaks q", "check q"],
    "check_wrong_count": ["create -q -f qcow2 q 1M", "!io -c 'write 0 64k' q", "!poke q 0x2000a 0003", "check q",
                          "check -r all q", "check q"],
    "map": ["!file b.raw 1048576 0 4096 1 65536 4096 2", "map b.raw", "map --output=json b.raw",
            "create -q -f qcow2 -b b.raw -F raw o 2M", "map o", "map --output=json o",
            "!io -c 'write 128k 64k' -c 'write -z 256k 64k' -c 'write -zu 384k 64k' -c 'discard 128k 64k' -c 'write 1M 70k' o",
            "map o", "map --output=json o", "map --output=json --start-offset=1k --max-length=64k o",
            "map --start-offset=4M o", "map nofile", "map --max-length=foo b.raw", "map --start-offset=foo b.raw",
            "map --output=json --start-offset=1536k o"],
    "map_compressed": ["!file b.raw 1048576 0 400000 1", "convert -c -O qcow2 b.raw c", "map c", "map --output=json c"],
    "compare": ["!file a 1048576 0 4096 1", "!file b 1048576 0 4096 1", "!file c 1048576 0 4096 1 70000 10 3",
                "!file d 2097152 0 4096 1", "!file e 2097152 0 4096 1 1500000 5 1", "compare a b", "compare a c",
                "compare -s a b", "compare a d", "compare d a", "compare -s a d", "compare a e", "compare -p a b",
                "compare -q a c", "compare a nofile", "compare nofile a", "compare -f foo a b", "compare -T foo a b",
                "convert -O qcow2 a q", "compare a q", "compare -s a q", "compare c q"],
    "measure": ["measure --size 1G", "measure --size 1G -O qcow2", "measure -O qcow2 --output=json --size 10T",
                "!file b.raw 10485760 0 70000 1 1048576 100000 2", "measure -O qcow2 b.raw", "measure -O raw b.raw",
                "measure -O qcow2 -o cluster_size=512 b.raw", "measure -O qcow2 -o extended_l2=on,cluster_size=128k b.raw",
                "measure -O qcow2 -o preallocation=full b.raw", "measure -O foo --size 1", "measure",
                "measure -O qcow2 --size 1G b.raw", "measure -O qcow2 -o cluster_size=1 --size 1", "measure --size 1Z",
                "convert -O qcow2 b.raw q", "measure -O qcow2 q", "measure -O qcow2 --output=json q", "measure q"],
    "resize": ["create -q -f raw b.raw 1M", "resize b.raw 2M", "resize -f raw b.raw 3M", "resize -f raw b.raw +1M",
               "resize -f raw b.raw -- -1M", "resize -f raw --shrink b.raw -- -1M", "create -q -f qcow2 q 1M",
               "resize q 4M", "resize q foo", "resize nofile 1M", "resize --shrink q 1M", "resize -q q 2M", "resize q +1G",
               "info q", "resize --preallocation=foo q 4M", "resize q -- -64G", "resize q 1M",
               "resize --shrink --preallocation=falloc q 1M", "resize --preallocation=metadata q 2G", "check q"],
    "convert_refused": ["!file b.raw 1048576 0 4096 1", "convert b.raw", "convert nofile x", "convert -O foo b.raw x",
                        "convert -c -O raw b.raw x", "convert -B foo -O qcow2 b.raw x",
                        "convert -n -O qcow2 b.raw nofile2", "convert -S foo b.raw x", "convert -m 0 b.raw x",
                        "convert -m 17 b.raw x", "convert -o foo=bar -O qcow2 b.raw x", "convert -O qcow2 b.raw /nodir/x",
                        "convert -t foo b.raw x", "convert -T foo b.raw x", "convert --target-is-zero b.raw x",
                        "convert -C -c -O qcow2 b.raw x", "convert -S 3 b.raw x", "convert -f foo b.raw x",
                        "convert --salvage -C b.raw x", "convert -n -o foo b.raw x"],
    "convert": ["!file b.raw 10485760 0 131072 1 262144 327680 2 5242880 65536 3", "convert b.raw r.raw", "info r.raw",
                "convert -O qcow2 b.raw q", "info q", "map --output=json q", "convert -p -O qcow2 b.raw q2",
                "convert q r2.raw", "convert -O qcow2 q q3", "convert -S 0 -O qcow2 b.raw q4", "map q4", "check q4",
                "convert -S 64k -O qcow2 b.raw q5", "map q5", "convert -c -O qcow2 b.raw c", "check c",
                "convert -c -O qcow2 -o compression_type=zstd b.raw z", "info z", "convert c r3.raw", "convert z r4.raw",
                "convert b.raw r.raw -O qcow2 two", "info two", "convert -n -O qcow2 b.raw q", "convert -W b.raw r5.raw",
                "convert -m 1 -t none -T none b.raw r6.raw"],
    "io_arguments": [
        "create -q -f qcow2 q 10M", "io nofile -c 'length'", "io -f foo -c length q", "io -c foo q", "io -c read q", "io -c 'read 0' q",
        "io -c 'read x 1' q", "io -c 'read 0 x' q", "io -c 'read 0 1k extra' q", "io -c 'read -P 300 0 1' q",
        "io -c 'read -P x 0 1' q", "io -c 'read -s 1 0 10' q", "io -c 'read -P 1 -s 2 0 10' q",
        "io -c 'read -P 1 -l 5 -s 7 0 10' q", "io -c 'read 10M 512' q", "io -c 'read 10M 0' q", "io -c 'read 0 2G' q",
        "io -c 'write -u 0 1k' q", "io -c 'write -n 0 1k' q", "io -c 'write -c 0 1k' q", "io -c 'write -z -P 1 0 1k' q",
        "io -c 'write -z -c 0 1' q", "io -c 'write -bz 0 1' q", "io -c 'write -fc 0 1' q", "io -c 'write 0 3G' q",
        "io -c 'write -s nofile 0 1k' q", "io -c 'readv 0 x' q", "io -c 'readv 0 4G' q", "io -c 'writev 0' q",
        "io -c 'aio_write -z 0 1 2' q", "io -c 'aio_write -u 0 1' q", "io -c 'aio_read 100M 512' q", "io -c 'discard 0 3G' q",
        "io -c 'discard 100M 1' q", "io -c 'alloc x' q", "io -c alloc q", "io -c truncate q", "io -c 'truncate x' q",
        "io -c 'truncate -m foo 1M' q", "io -c 'sleep x' q", "io -c sleep q", "io -c 'sigraise' q", "io -c 'sigraise x' q",
        "io -c 'help foo' q", "io -c 'open q' q", "io -c 'read 0 1'", "io -c 'open nofile'", "io -t foo -c length q",
        "io -d foo -c length q", "io -i foo q", "io -r -c 'write 0 512' -c 'truncate 1M' -c 'discard 0 512' -c flush q",
        "io -U -c length q", "io -U -r -c length q", "io -c 'reopen -rw' -c 'reopen -c foo' q", "io -c quit -c length q",
        "io -c 'length x' -c 'abort x' -c '' q"],
    "io": [
        "create -q -f qcow2 q 10M", "io -c 'write -P 0xcd 1k 3k' -c 'read -v 1000 100' -c 'read -P 0xcd 1k 3k' q",
        "io -c 'write -z 0 64k' -c 'write -z -u 64k 64k' -c map q", "io -c 'write -c 128k 64k' -c 'write -c 0 64k' -c map q",
        "io -c 'writev -P 3 0 512 512' -c 'readv -v 0 32 32' -c 'readv -P 3 0 512 512' -c 'readv -P 4 0 512' q",
        "io -c 'aio_write -P 3 1M 4k' -c aio_flush -c 'aio_read -P 3 1M 4k' -c aio_flush -c 'aio_read -P 4 1M 4k' -c aio_flush q",
        "io -c 'write -f 2M 4k' -c 'discard 2M 64k' -c 'discard 0 5' -c 'discard -q 0 64k' -c flush q",
        "io -c 'alloc 0' -c 'alloc 0 128k' -c 'alloc 1M 64k' -c 'alloc 0 100M' -c length q", "io -c info q",
        "io -c 'truncate 20M' -c length -c 'write -P 5 19M 1M' -c 'read -P 5 19M 1M' q",
        "io -c 'open q' -c length -c close -c length", "io -c 'open -r -o driver=qcow2 q' -c 'write 0 512' -c length",
        "io -c 'reopen -r' -c 'write 0 512' -c 'reopen -w' -c 'write -q 0 512' q",
        "io --image-opts -c length driver=qcow2,file.filename=q", "!file r 1048576 0 4096 1",
        "io -f raw -c info -c map -c 'read -v 4090 10' -c 'read -C 0 512' -c 'write -s r 65536 5000' r", "io -c length r",
        "io -n -f raw -c 'read -P 1 1 4000' -c 'write -P 9 5 1000' -c 'read -P 9 5 1000' r"],
    "blkdebug": [
        "create -q -f qcow2 q 1M", "io -c 'write 256k 64k' q",
        "io -c 'break write_aio A' -c 'aio_write -P 3 0 64k' -c 'wait_break A' -c 'read -P 0 512k 512' -c 'resume A' -c aio_flush "
        "-c 'resume B' -c 'remove_break X' -c 'break foo A' --image-opts driver=qcow2,file.driver=blkdebug,file.image.filename=q",
        "io -c 'break flush_to_os A' -c 'resume A' -c 'remove_break A' q", "io -c 'break A' -c resume -c wait_break q",
        "io -c 'write 128k 64k' -c 'write 128k 64k' --image-opts driver=qcow2,file.driver=blkdebug,file.image.filename=q,"
        "file.inject-error.0.event=write_aio,file.inject-error.0.once=on,file.inject-error.0.errno=28", "check q",
        "info --image-opts driver=blkdebug", "info null-co://", "io -f raw -c length null-co://",
        "io --image-opts -c length -c 'read -P 0 0 1k' driver=null-aio,size=1M,read-zeroes=on", "info null-co://x"],
    "convert_backing": ["!file base 4194304 0 1000000 1", "create -q -f qcow2 -b base -F raw o 6M",
                        "!io -c 'write 512k 100k' -c 'write -z 2M 128k' -c 'write 5M 70k' o",
                        "convert -O qcow2 o flat", "map --output=json flat", "convert -O qcow2 -B base -F raw o thin",
                        "map --output=json thin", "info thin", "convert o raw"],
}


# Creation options of foreign formats.
FORMATS = {
    "vmdk": ["", "subformat=monolithicFlat", "subformat=twoGbMaxExtentSparse", "subformat=twoGbMaxExtentFlat",
             "subformat=streamOptimized", "zeroed_grain=on", "adapter_type=lsilogic", "compat6=on", "hwversion=7",
             "subformat=foo", "adapter_type=foo", "compat6=on,hwversion=7", "foo=1"],
    "vdi": ["", "static=on", "static=foo"],
    "vhdx": ["", "subformat=fixed", "block_size=1M,log_size=2M", "block_state_zero=off"],
    "vpc": ["", "force_size=on", "subformat=fixed", "subformat=fixed,force_size=on"],
}

REFUSED = [("vhdx", "subformat=foo"), ("vhdx", "block_size=3M"), ("vhdx", "size=1M"), ("vhdx", "foo=1"),
           ("vpc", "subformat=foo"), ("vpc", "size=1M"), ("vdi", "foo=1")]


def format_scenario(name, option):
    """Creating an image of a foreign format, converting from and to it; sizes are not all whole blocks."""
    create = f"create -f {name} {'-o ' + option if option else ''}"
    convert = f"convert -O {name} {'-o ' + option if option else ''}"
    return [f"{create} a.img 10M", "info a.img", "info --output=json a.img", "map a.img", "map --output=json a.img",
            "check a.img", "check --output=json a.img", f"resize -f {name} a.img 20M", f"measure -O {name} a.img",
            "!file r 7340544 0 131072 1 262144 300000 2 5242880 65536 3", f"{convert} r c.img", "info c.img",
            "map c.img", "map --output=json c.img", "check c.img", f"compare -F {name} r c.img", f"convert -f {name} -O raw c.img back",
            "compare -s r back", f"convert -f {name} -O qcow2 c.img q", "map --output=json q", f"convert -c -O {name} r cc.img",
            f"{convert} q d.img", f"compare -f {name} -F {name} c.img d.img", f"convert -f {name} -O raw r nothing",
            f"info -f {name} r", f"{create} b.img 1", "info b.img",
            # qemu-img aborts at a descriptor without extents, and takes no fixed VHD of a footer alone, no empty VHDX of ours.
            *([] if any(kind in option for kind in ("Flat", "twoGb", "fixed")) else [f"{create} e.img 0", "info e.img", "convert e.img e.raw"])]


def random_scenario(seed):
    """Creating, writing, converting, resizing and comparing, drawn by chance."""
    draw = random.Random(seed)
    size = draw.randrange(1, 40) * draw.choice([512, 4096, 65536, 1 << 20])
    options = draw.choice(["", *QCOW2_OPTIONS])
    create = f"create -f qcow2 {'-o ' + options if options else ''} q {size}"
    commands = [create, "info q"]
    fills = " ".join(f"{draw.randrange(size)} {draw.randrange(1, 200000)} {draw.randrange(1, 256)}" for _ in range(4))
    commands += [f"!file r {size} {fills}", "info r"]
    for step in range(6):
        commands.append(draw.choice([
            f"convert -n -O qcow2 -f raw r q -S {draw.choice(['0', '4k', '64k'])}"
            if size % 65536 == 0 and "preallocation" not in options else "info q",
            f"convert -f qcow2 -O raw q raw{step}",
            f"convert -f raw -O qcow2 {'-c' if options != 'preallocation=full' else ''} r c{step}",
            f"convert -f qcow2 -O qcow2 {'-o ' + options if options else ''} q q{step}",
            f"resize -f qcow2 q +{draw.randrange(1, 100) * 512}",
            # What may be holes of the file is guessed from what the file takes on disk.
            "measure -O qcow2 -f raw r" if re.search("preallocation|cluster_size=2M", options) else "measure -O qcow2 q", "check q",
            "info --output=json q", "compare -f qcow2 -F raw q r", "check --output=json q"]))
    return commands + ["check q", "info q"]


def chain_scenario(seed):
    """Images over images: written, committed, rebased, amended."""
    draw = random.Random(seed)
    size = draw.randrange(8, 40) * 65536
    commands = [f"!file base {size} 0 {draw.randrange(1, size)} 1", f"!file other {size} 0 {draw.randrange(1, size)} 2"]
    below = "base"
    # An image of version 2 that is made larger shows its backing image: qemu-img refuses, berth-img writes zeroes.
    grows = draw.random() < 0.5
    for name in "abc":
        options = draw.choice(["compat=1.1", "cluster_size=4k", "extended_l2=on"] + ["compat=0.10"] * (not grows))
        grown = size + draw.choice([0, 0, 65536, -65536]) * grows
        commands.append(f"create -q -f qcow2 -o {options} -b {below} -F {'raw' if below == 'base' else 'qcow2'} {name} {grown}")
        below = name
    for _ in range(12):
        name = draw.choice("abc")
        offset = draw.randrange((size - 65536) // 512) * 512
        length = min(size - 65536 - offset, draw.randrange(1, 400) * 512)
        commands += [draw.choice([
            f"!io -c 'write -P {draw.randrange(3, 255)} {offset} {length}' {name}", f"!io -c 'write -z {offset} {length}' {name}",
            f"commit {draw.choice(['', '-d', '-q'])} {name}", f"commit -b base {name}", "rebase -b base -F raw b",
            "rebase -b a -F qcow2 b", "rebase -b other -F raw a", "rebase -b base -F raw a", "rebase -b b -F qcow2 c",
            "rebase -b a -F qcow2 c", f"amend -o compat={draw.choice(['0.10', '1.1'])} {name}"
            if not grows and "extended" not in "".join(commands) else "info a", f"convert -O qcow2 {name} flat{len(commands)}",
            "compare b c"]), f"check {name}"]
    return commands


def snapshot_scenario(seed):
    """Snapshots made, applied and deleted between writes."""
    draw = random.Random(seed)
    size = draw.randrange(1, 40) * 65536
    options = draw.choice(["compat=1.1", "compat=0.10", "cluster_size=4k", "extended_l2=on", "cluster_size=512"])
    commands = [f"create -q -f qcow2 -o {options} q {size}"]
    names = "abc"
    for _ in range(14):
        offset = draw.randrange(size // 512) * 512
        length = min(size - offset, draw.randrange(1, 400) * 512)
        commands.append(draw.choice([
            f"snapshot -c {draw.choice(names)} q", f"snapshot -a {draw.choice(names)} q", f"snapshot -d {draw.choice(names)} q",
            f"!io -c 'write -P {draw.randrange(1, 255)} {offset} {length}' q", f"!io -c 'write -zu {offset} {length}' q",
            "snapshot -l q", f"resize q +{draw.randrange(1, 100) * 4096}" if "0.10" not in options else "info q",
            f"convert -l {draw.choice(names)} q r{len(commands)}"]))
        commands.append("check q")
    return commands


def bitmap_scenario(seed):
    """Bitmaps added, changed and merged between writes of both tools."""
    draw = random.Random(seed)
    size = draw.randrange(1, 60) * 65536
    options = draw.choice(["compat=1.1", "cluster_size=4k", "extended_l2=on", "cluster_size=512"])
    commands = [f"create -q -f qcow2 -o {options} q {size}", "bitmap --add q a",
                f"!file r {size} {draw.randrange(size)} {draw.randrange(1, 100000)} 7"]
    for step in range(12):
        name = draw.choice("abc")
        offset = draw.randrange(size // 512) * 512
        length = min(size - offset, draw.randrange(1, 400) * 512)
        commands += [draw.choice([
            f"bitmap --add -g {draw.choice(['512', '4k', '64k', '1M'])} q {name}", f"bitmap --remove q {name}",
            f"bitmap --clear q {name}", f"bitmap --disable q {name}", f"bitmap --enable q {name}",
            f"bitmap --merge {draw.choice('abc')} q {name}", f"!io -c 'write -P 1 {offset} {length}' q",
            f"!io -c 'write -z {offset} {length}' q", f"convert --bitmaps -O qcow2 q c{step}", "info q",
            f"bench -w -s 4k -o {offset // 4096 * 4096} -S 64k -d 1 -c 3 q", "measure -O qcow2 q"]), "check q"]
    return commands + ["info --output=json q"]


def all_scenarios(seeds):
    """Pairs of a name and a list of commands."""
    for name, commands in ARGUMENTS.items():
        yield name, commands
    for option in QCOW2_OPTIONS:
        yield "create_" + option.replace("=", "_"), [
            f"create -f qcow2 -o {option} q 10M", "info q", "info --output=json q", "check q", "check --output=json q",
            "!io -c 'write -P 7 1M 200k' q", "check q", "convert q r", "convert -O qcow2 q q2", "resize q 20M", "info q"]
    # qemu-img leaves a file without content where we leave none.
    yield "formats_refused", [command for form, option in REFUSED
                              for command in ("!file x 0", f"create -f {form} -o {option} x 1M")]
    for form, options in FORMATS.items():
        yield f"{form}_help", [f"create -f {form} -o help", f"create -f {form} x", f"create -f {form} /nodir/x 1M"]
        for option in options:
            yield f"{form}_{option.replace('=', '_').replace(',', '_')}", format_scenario(form, option)
    for seed in seeds:
        yield f"random_{seed}", random_scenario(seed)
        yield f"random_snapshots_{seed}", snapshot_scenario(seed)
        yield f"random_chains_{seed}", chain_scenario(seed)
        yield f"random_bitmaps_{seed}", bitmap_scenario(seed)
