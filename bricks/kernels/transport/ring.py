"""The steps of a ring that two processes see: copying a batch in, and the order in which words of memory become visible.

One writer and one reader, so no compare-and-swap: a word has one process that writes it. A slot is filled before the
head moves (release) and looked at after the head was read (acquire). The flag of a sleeper needs more, a full fence:
"I sleep" must be visible before the sleeper's last look, and the new head before the other side looks at the flag;
otherwise both may miss each other (store-load reordering, which x86 does too).
"""

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

# words (int64) of the header, each group on cache lines of its own; a group is written by one process only
MAGIC, SLOTS, ROWS, WIDTH = 0, 1, 2, 3  # by the creator
HEAD, ROWS_WRITTEN, NEXT_WRITTEN = 16, 17, 18  # by the writer: batches, rows, first row number after the last batch
TAIL, ROWS_READ, NEXT_READ = 32, 33, 34  # by the reader
READER_SLEEPS, CLOSED = 48, 49  # by the reader
WRITER_WAITS = 64  # by the writer
WORDS = 512  # one page

# words of a slot's entry in the table: rows and columns of the batch, then its ticket
COUNT, COLUMNS, TICKET = 0, 1, 2
TICKET_WORDS = 7  # fields of bricks.records.sequence.Ticket
ENTRY = 16  # two cache lines

FULL, WRITTEN, WAKE = 0, 1, 2


def _pointer(context, builder, kind, words, index):
    array = context.make_array(kind)(context, builder, words)
    return builder.gep(array.data, [builder.zext(index, ir.IntType(64)) if index.type.width < 64 else index])


@intrinsic
def load(typingctx, words, index):
    """words[index], read before anything that follows (acquire)."""

    def emit(context, builder, signature, args):
        return builder.load_atomic(_pointer(context, builder, signature.args[0], *args), "acquire", 8)

    return (types.int64(words, types.int64), emit) if isinstance(words, types.Array) else None


@intrinsic
def store(typingctx, words, index, value):
    """words[index] = value, visible after everything before (release)."""

    def emit(context, builder, signature, args):
        builder.store_atomic(args[2], _pointer(context, builder, signature.args[0], *args[:2]), "release", 8)
        return context.get_dummy_value()

    return (types.void(words, types.int64, types.int64), emit) if isinstance(words, types.Array) else None


@intrinsic
def fence(typingctx):
    """Everything before is visible to all before anything after is read or written."""

    def emit(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), emit


@njit(cache=True)
def put(words, table, heads, cells, ticket, batch):
    """Copy a batch into the next free slot; FULL, WRITTEN, or WAKE: written, and the reader sleeps.

    words and table int64 [slots, ENTRY], heads uint64 [slots, rows, 10], cells float64 [slots, rows * width];
    ticket int64 [TICKET_WORDS]; batch (head uint64 [n, 10], values float64 [n, columns]; columns 0: no values).
    """
    rows, values = batch
    head = words[HEAD]
    if head - load(words, TAIL) >= words[SLOTS] or load(words, CLOSED):
        return FULL
    slot = head % words[SLOTS]
    count, columns = values.shape
    heads[slot, : len(rows)] = rows
    cells[slot, : count * columns] = values.reshape(count * columns)
    table[slot, COUNT] = len(rows)
    table[slot, COLUMNS] = columns
    for word in range(TICKET_WORDS):
        table[slot, TICKET + word] = ticket[word]
    store(words, ROWS_WRITTEN, words[ROWS_WRITTEN] + len(rows))
    store(words, NEXT_WRITTEN, ticket[0] + ticket[1])  # first and span
    store(words, HEAD, head + 1)
    fence()
    return WAKE if load(words, READER_SLEEPS) else WRITTEN


@njit(cache=True)
def ready(words):
    """Batches that the reader has not released."""
    return load(words, HEAD) - words[TAIL]


@njit(cache=True)
def release(words, table, done):
    """Give the oldest slot back; `done` is kept as the row number that the reader wants next.

    True: the writer waits for room, and half of the ring is free. A writer that is woken for every slot pays for a wake-up, with cold
    caches, for every batch; there is enough in the ring to read meanwhile.
    """
    tail = words[TAIL]
    store(words, ROWS_READ, words[ROWS_READ] + table[tail % words[SLOTS], COUNT])
    store(words, NEXT_READ, done)
    store(words, TAIL, tail + 1)
    fence()
    return load(words, WRITER_WAITS) != 0 and 2 * (words[HEAD] - tail - 1) <= words[SLOTS]


@njit(cache=True)
def announce(words, flag, value):
    """Set the flag of a sleeper; what is looked at afterwards is newer than the flag."""
    store(words, flag, value)
    fence()


@njit(cache=True)
def peek(words, index):
    """A word that the other side writes."""
    return load(words, index)
