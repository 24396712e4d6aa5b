"""Threads: one pool of workers per process that shares the chunks of a kernel's loops, without the interpreter.

A kernel is entered with a part of its work (`native.Part`): one segment of its body, over the items lo..hi. The pool
is LLVM code, linked once per process, and knows only a function and its context. Workers are started through Python's
own C API, so that every platform has them; they never touch Python objects, and sleep on its locks. Chunks are claimed
from an atomic counter by whoever is awake; the caller takes part and waits for nothing but chunks already begun, so
that a worker that sleeps or lost its core costs nothing. A caller that finds the pool at work runs its work alone.

BLAS has threads of its own, on the same cores: from a call to it on (`QUIET`) no worker spins, and work is shared only
where there is much more of it, since a thread of BLAS that waits for its next product holds a core for a while.
"""
from __future__ import annotations

CPYTHON = ("PyThread_acquire_lock", "PyThread_release_lock")
MAX_WORKERS = 255
MUCH_WORK = 1 << 17             # units of work (see `parallel`); less is done sooner than Python's lock changes hands
GRAIN = 700_000                 # units of work that are worth one thread, where nothing was measured
SPINS = 800                     # looks for a next job before a worker sleeps: 20 to 50 microseconds
LINE = 64                       # bytes of a cache line: what is written by different threads lies in different ones

# Fields of the pool's memory, in bytes from its start.
RUN, PREPARED, THREADS, WORKERS, GRAIN_AT, QUIET = 0, 8, 16, 24, 32, 40
QUIET_SHIFT = 3                 # after a call to BLAS, 8 times the grain is worth a thread
BUSY, STATE, NEXT = LINE, 2 * LINE, 3 * LINE
FUNCTION, CONTEXT, SEGMENT, ITEMS, CHUNK, STATUS, DONE = range(4 * LINE, 4 * LINE + 56, 8)
SLOTS = 5 * LINE                # one line per worker:
LOCK, SLEEPING, INDEX = 0, 8, 16

# The state of a job is one word, so that a worker joins it, knowing all it must know, in one atomic step:
# how many workers are in it, whether the caller sleeps, whether it is open, how many are wanted, and its number.
COUNT_MASK, WAITING, OPEN, WANTED_SHIFT, WANTED_MASK, NUMBER_SHIFT = 0xFFFF, 1 << 16, 1 << 17, 18, 0x3FFF, 32

SERIAL, ASK = -1, 0             # segments by number; all of them; all of them unless it is much work
MUCH = -1                       # status of ASK: nothing was done, the plan tells how much there is to do
OTHER = -2                      # status of ASK: nothing was done, another kernel of the region is for such sizes
EVERYTHING = (1 << 63) - 1


# What a waiting core does between two looks: the call, and its declaration.
PAUSE = {
    "x86_64": "call void @llvm.x86.sse2.pause()|declare void @llvm.x86.sse2.pause()",
    "aarch64": "call void @llvm.aarch64.isb(i32 15)|declare void @llvm.aarch64.isb(i32)",
}
PAUSE["arm64"] = PAUSE["aarch64"]


def assembly(pause: str) -> str:
    """The pool as LLVM assembly: `fuse_run`, called for a kernel with much work, and `fuse_worker`, a thread."""

    def at(name: str, base: str, offset: int) -> str:
        return f"%{name} = getelementptr i8, ptr {base}, i64 {offset}"

    state, next_ = at("state", "%pool", STATE), at("next", "%pool", NEXT)
    fields = {"fn": FUNCTION, "context": CONTEXT, "segment": SEGMENT, "items": ITEMS, "chunk": CHUNK}
    job = "\n  ".join([at(f"{name}_at", "%pool", offset) for name, offset in fields.items()])
    return f"""
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)
declare void @PyThread_release_lock(ptr)
declare i32 @PyThread_acquire_lock(ptr, i32)
@fuse_pool = external global i8
{pause.partition("|")[2]}

; Whether a worker may join the job of a state, having last been in another one.
define internal i1 @joins(i64 %state, i64 %index, i64 %last) alwaysinline {{
  %o = and i64 %state, {OPEN}
  %open = icmp ne i64 %o, 0
  %w = lshr i64 %state, {WANTED_SHIFT}
  %wanted = and i64 %w, {WANTED_MASK}
  %among = icmp slt i64 %index, %wanted
  %number = lshr i64 %state, {NUMBER_SHIFT}
  %new = icmp ne i64 %number, %last
  %both = and i1 %open, %among
  %all = and i1 %both, %new
  ret i1 %all
}}

; Wake a worker if it is among those wanted and sleeps.
define internal void @wake(ptr %pool, i64 %index, i64 %wanted) {{
  %among = icmp slt i64 %index, %wanted
  br i1 %among, label %look, label %done
look:
  %offset = mul i64 %index, {LINE}
  {at("slots", "%pool", SLOTS)}
  %slot = getelementptr i8, ptr %slots, i64 %offset
  {at("sleeping", "%slot", SLEEPING)}
  %maybe = load atomic i64, ptr %sleeping seq_cst, align 8
  %idle = icmp ne i64 %maybe, 0
  br i1 %idle, label %take, label %done
take:
  %was = atomicrmw xchg ptr %sleeping, i64 0 seq_cst
  %mine = icmp ne i64 %was, 0
  br i1 %mine, label %release, label %done
release:
  %lock = load ptr, ptr %slot
  call void @PyThread_release_lock(ptr %lock)
  br label %done
done:
  ret void
}}

; Do chunks of the open job until there are none left.
define internal void @work(ptr %pool) {{
  {next_}
  {at("status", "%pool", STATUS)}
  {job}
  %fn = load ptr, ptr %fn_at
  %context = load ptr, ptr %context_at
  %segment = load i64, ptr %segment_at
  %items = load i64, ptr %items_at
  %chunk = load i64, ptr %chunk_at
  br label %again
again:
  %low = atomicrmw add ptr %next, i64 %chunk seq_cst
  %more = icmp slt i64 %low, %items
  br i1 %more, label %one, label %done
one:
  %stop = add i64 %low, %chunk
  %high = call i64 @llvm.smin.i64(i64 %stop, i64 %items)
  %failed = call i64 %fn(ptr %context, i64 %segment, i64 %low, i64 %high)
  %fine = icmp eq i64 %failed, 0
  br i1 %fine, label %again, label %failure
failure:
  store atomic i64 %failed, ptr %status monotonic, align 8
  store atomic i64 %items, ptr %next monotonic, align 8
  br label %done
done:
  ret void
}}

define void @fuse_worker(ptr %slot) {{
entry:
  {state.replace("%pool", "@fuse_pool")}
  {at("quiet", "@fuse_pool", QUIET)}
  {at("sleeping", "%slot", SLEEPING)}
  {at("index_at", "%slot", INDEX)}
  %index = load i64, ptr %index_at
  %lock = load ptr, ptr %slot
  %left = mul i64 %index, 2
  %child = add i64 %left, 2
  %other = add i64 %left, 3
  br label %look
look:
  %spins = phi i64 [ 0, %entry ], [ 0, %leave ], [ 0, %signal ], [ %more, %pause ], [ 0, %slept ], [ %spins, %join ],
           [ 0, %awake ]
  %last = phi i64 [ -1, %entry ], [ %number, %leave ], [ %number, %signal ], [ %last, %pause ], [ %last, %slept ],
          [ %last, %join ], [ %last, %awake ]
  %now = load atomic i64, ptr %state acquire, align 8
  %can = call i1 @joins(i64 %now, i64 %index, i64 %last)
  br i1 %can, label %join, label %wait
join:
  %with = add i64 %now, 1
  %pair = cmpxchg ptr %state, i64 %now, i64 %with seq_cst seq_cst
  %joined = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %joined, label %inside, label %look
inside:
  %number = lshr i64 %now, {NUMBER_SHIFT}
  %w = lshr i64 %now, {WANTED_SHIFT}
  %wanted = and i64 %w, {WANTED_MASK}
  call void @wake(ptr @fuse_pool, i64 %child, i64 %wanted)
  call void @wake(ptr @fuse_pool, i64 %other, i64 %wanted)
  call void @work(ptr @fuse_pool)
  br label %leave
leave:
  %before = atomicrmw sub ptr %state, i64 1 seq_cst
  %rest = and i64 %before, {COUNT_MASK | WAITING}
  %signals = icmp eq i64 %rest, {WAITING | 1}
  br i1 %signals, label %signal, label %look
signal:
  {at("done_at", "@fuse_pool", DONE)}
  %done = load ptr, ptr %done_at
  call void @PyThread_release_lock(ptr %done)
  br label %look
wait:
  %more = add i64 %spins, 1
  %long = icmp sgt i64 %more, {SPINS}
  %asked = load atomic i64, ptr %quiet monotonic, align 8
  %hushed = icmp ne i64 %asked, 0
  %tired = or i1 %long, %hushed
  br i1 %tired, label %sleep, label %pause
pause:
  {pause.partition("|")[0]}
  br label %look
sleep:
  store atomic i64 1, ptr %sleeping seq_cst, align 8
  %then = load atomic i64, ptr %state seq_cst, align 8
  %called = call i1 @joins(i64 %then, i64 %index, i64 %last)
  br i1 %called, label %stay, label %slept
stay:
  %mine = atomicrmw xchg ptr %sleeping, i64 0 seq_cst
  %own = icmp ne i64 %mine, 0
  br i1 %own, label %awake, label %slept
awake:
  br label %look
slept:
  %got = call i32 @PyThread_acquire_lock(ptr %lock, i32 1)
  br label %look
}}

; One segment, shared with so many workers; its status.
define internal i64 @share(ptr %pool, ptr %fn, ptr %context, i64 %segment, i64 %items, i64 %chunk, i64 %wanted) {{
entry:
  {state}
  {next_}
  {at("status", "%pool", STATUS)}
  {job}
  {at("quiet", "%pool", QUIET)}
  store atomic i64 0, ptr %quiet monotonic, align 8
  store ptr %fn, ptr %fn_at
  store ptr %context, ptr %context_at
  store i64 %segment, ptr %segment_at
  store i64 %items, ptr %items_at
  store i64 %chunk, ptr %chunk_at
  store atomic i64 0, ptr %status monotonic, align 8
  store atomic i64 0, ptr %next monotonic, align 8
  %old = load atomic i64, ptr %state monotonic, align 8
  %n = lshr i64 %old, {NUMBER_SHIFT}
  %n1 = add i64 %n, 1
  %number = shl i64 %n1, {NUMBER_SHIFT}
  %w = shl i64 %wanted, {WANTED_SHIFT}
  %nw = or i64 %number, %w
  %new = or i64 %nw, {OPEN}
  store atomic i64 %new, ptr %state seq_cst, align 8
  call void @wake(ptr %pool, i64 0, i64 %wanted)
  call void @wake(ptr %pool, i64 1, i64 %wanted)
  call void @work(ptr %pool)
  %closing = atomicrmw and ptr %state, i64 {~OPEN} seq_cst
  br label %look
look:
  %spins = phi i64 [ 0, %entry ], [ %more, %pause ]
  %now = load atomic i64, ptr %state acquire, align 8
  %inside = and i64 %now, {COUNT_MASK}
  %alone = icmp eq i64 %inside, 0
  br i1 %alone, label %done, label %wait
wait:
  %more = add i64 %spins, 1
  %tired = icmp sgt i64 %more, {SPINS}
  br i1 %tired, label %sleep, label %pause
pause:
  {pause.partition("|")[0]}
  br label %look
sleep:
  %asked = atomicrmw or ptr %state, i64 {WAITING} seq_cst
  %still = and i64 %asked, {COUNT_MASK}
  %nobody = icmp eq i64 %still, 0
  br i1 %nobody, label %done, label %block
block:
  {at("done_at", "%pool", DONE)}
  %lock = load ptr, ptr %done_at
  %got = call i32 @PyThread_acquire_lock(ptr %lock, i32 1)
  br label %done
done:
  %result = load atomic i64, ptr %status acquire, align 8
  ret i64 %result
}}

; What sharing costs is measured with work that is none.
define i64 @fuse_nothing(ptr %context, i64 %segment, i64 %low, i64 %high) {{
  ret i64 0
}}

; A kernel's work by its plan: number of segments; items, work, unit and pieces of each; 16 bytes apart. Its status.
define i64 @fuse_run(ptr %fn, ptr %context, ptr %plan) {{
entry:
  {at("busy", "@fuse_pool", BUSY)}
  {at("threads_at", "@fuse_pool", THREADS)}
  {at("workers_at", "@fuse_pool", WORKERS)}
  {at("grain_at", "@fuse_pool", GRAIN_AT)}
  %allowed = load i64, ptr %threads_at
  %workers = load i64, ptr %workers_at
  %usual = load i64, ptr %grain_at
  {at("quiet_at", "@fuse_pool", QUIET)}
  %quiet = load atomic i64, ptr %quiet_at monotonic, align 8
  %shift = mul i64 %quiet, {QUIET_SHIFT}
  %grain = shl i64 %usual, %shift
  %started = add i64 %workers, 1
  %threads = call i64 @llvm.smin.i64(i64 %allowed, i64 %started)
  %several = icmp sgt i64 %threads, 1
  br i1 %several, label %try, label %alone
try:
  %pair = cmpxchg ptr %busy, i64 0, i64 1 seq_cst seq_cst
  %ours = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %ours, label %start, label %alone
alone:
  %whole = call i64 %fn(ptr %context, i64 {SERIAL}, i64 0, i64 {EVERYTHING})
  ret i64 %whole
start:
  %count = load i64, ptr %plan
  br label %look
look:
  %k = phi i64 [ 1, %start ], [ %next, %after ]
  %where = phi ptr [ %plan, %start ], [ %pieces_at, %after ]
  %left = icmp sle i64 %k, %count
  br i1 %left, label %segment, label %done
segment:
  {at("items_at", "%where", 16)}
  {at("work_at", "%where", 32)}
  {at("unit_at", "%where", 48)}
  {at("pieces_at", "%where", 64)}
  %items = load i64, ptr %items_at
  %work = load i64, ptr %work_at
  %unit = load i64, ptr %unit_at
  %each = load i64, ptr %pieces_at
  %worth = sdiv i64 %work, %grain
  %most = call i64 @llvm.smin.i64(i64 %worth, i64 %threads)
  %chunks = mul i64 %most, %each
  %divisor = call i64 @llvm.smax.i64(i64 %chunks, i64 1)
  %some = sdiv i64 %items, %divisor
  %up = add i64 %some, %unit
  %up1 = sub i64 %up, 1
  %units = sdiv i64 %up1, %unit
  %units1 = call i64 @llvm.smax.i64(i64 %units, i64 1)
  %chunk = mul i64 %units1, %unit
  %reach = add i64 %items, %chunk
  %reach1 = sub i64 %reach, 1
  %pieces = sdiv i64 %reach1, %chunk
  %hands = call i64 @llvm.smin.i64(i64 %pieces, i64 %most)
  %wanted = sub i64 %hands, 1
  %shared = icmp sgt i64 %wanted, 0
  br i1 %shared, label %together, label %single
together:
  %status1 = call i64 @share(ptr @fuse_pool, ptr %fn, ptr %context, i64 %k, i64 %items, i64 %chunk, i64 %wanted)
  br label %after
single:
  %status2 = call i64 %fn(ptr %context, i64 %k, i64 0, i64 {EVERYTHING})
  br label %after
after:
  %status = phi i64 [ %status1, %together ], [ %status2, %single ]
  %next = add i64 %k, 1
  %failed = icmp ne i64 %status, 0
  br i1 %failed, label %done, label %look
done:
  %result = phi i64 [ 0, %look ], [ %status, %after ]
  store atomic i64 0, ptr %busy seq_cst, align 8
  ret i64 %result
}}
"""
