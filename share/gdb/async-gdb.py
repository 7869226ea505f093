# SPDX-License-Identifier: MIT
"""Tasks of programs that use libasync, in gdb: of running processes and of core files.

    info tasks          lists the tasks and what each waits for
    task ID bt          the call stack of a task
    task ID             selects a task: bt, frame, info locals … are about it
    task ID COMMAND     runs a command of gdb with a task selected
    task                goes back to the stack of the thread

It needs no debug information of the library: it reads the table of <async/layout.h>, see async_layout(5). A task is
selected by an unwinder that lets the frames of the task follow the innermost frame of the thread, so that nothing in
the program changes, and core files work too.
"""

import re
import struct

import gdb
import gdb.unwinder

VERSION = 1
MAGIC = 0x74756F79616C6E79
NOWHERE = 0xFFFFFFFF
REGISTERS = 14
HEADER = "QII16sQQQ"
SAVED = "IIII%dH" % (2 * REGISTERS)
# The fields of struct async_layout behind `saved`, in their order: each is a uint32_t.
FIELDS = """
list_next
loop_next loop_current loop_switches loop_iterations loop_polls loop_tasks_created loop_tasks loop_jobs
loop_wake_state loop_running loop_thread loop_switch_kind loop_observed loop_clock loop_virtual_now loop_measures
loop_timers loop_task_slab loop_reactor
reactor_ops reactor_ops_name reactor_pending
heap_slots heap_count heap_slot_size heap_slot_key
slab_object_size slab_partial slab_full slab_chunks chunk_size chunk_link chunk_fresh chunk_objects
task_size task_id task_state task_stack_class task_stack task_context task_word task_wait_class task_wait_object
task_timer task_name task_fn task_creator task_cancels
future_loop future_class future_refs future_state future_watchers
watcher_link watcher_entry entry_run group_parent
future_class_name future_class_is_task future_class_children wait_class_name wait_class_on wait_class_detail
wait_class_children
op_code op_fd op_events job_state case_kind case_queue case_fd case_when
stack_least stack_since stack_ran stack_switches
""".split()

# Of the program, in terms of struct.
byte_order = "<"

ON_TIME, ON_FUTURE, ON_OPERATION, ON_DESCRIPTOR, ON_LOCK, ON_OBJECT, ON_PROCESS = 1, 2, 7, 8, 9, 10, 12
CREATED, ACTIVE, PARKED = 0, 1, 2
STATES = {CREATED: "new", ACTIVE: "ready", PARKED: "waiting"}

# gdb's names of DWARF's registers, where they differ from what the number says.
DWARF_NAMES = {
    "x86-64": {3: "rbx", 6: "rbp", 12: "r12", 13: "r13", 14: "r14", 15: "r15"},
    "aarch64": {n: "x%d" % n for n in range(19, 31)},
}


def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def unpack(form, data, offset=0):
    return struct.unpack_from(byte_order + form, data, offset)


def number(address, form):
    return unpack(form, read(address, struct.calcsize("=" + form)))[0]


def pointer(address):
    return number(address, "Q")


def string(address):
    text = b""
    while b"\0" not in text and len(text) < 64:
        try:
            text += read(address + len(text), 1)
        except gdb.MemoryError:
            break
    return "".join(c if c.isprintable() else "?" for c in text.split(b"\0")[0].decode(errors="replace"))


class Saved:
    def __init__(self, data):
        values = unpack(SAVED, data)
        self.pc, self.sp, self.size, count = values[:4]
        self.registers = list(zip(values[4::2], values[5::2]))[:count]


class Layout:
    """The table of one copy of the library."""

    def __init__(self, address):
        size = struct.calcsize("=" + HEADER)
        magic, version, total, library, self.loops, self.membership, _ = unpack(HEADER, read(address, size))
        if magic != MAGIC:
            raise gdb.GdbError("the note of libasync leads to no table")
        if version != VERSION:
            raise gdb.GdbError("libasync has layout %d; this script knows layout %d" % (version, VERSION))
        self.library = library.split(b"\0")[0].decode()
        one = struct.calcsize("=" + SAVED)
        saved = read(address + size, 2 * one)
        self.saved = [Saved(saved[:one]), Saved(saved[one:])]
        values = read(address + size + 2 * one, total - size - 2 * one)
        for i, name in enumerate(FIELDS):
            setattr(self, name, unpack("I", values, 4 * i)[0] if 4 * i + 4 <= len(values) else 0)


def layouts():
    """Every command begins here, so what programs differ in is asked here."""
    global byte_order
    byte_order = "<" if "little" in gdb.execute("show endian", to_string=True) else ">"
    found = []
    for line in gdb.execute("info files", to_string=True).splitlines():
        match = re.match(r"\s*(0x[0-9a-f]+) - 0x[0-9a-f]+ is \.note\.libasync\b", line)
        if not match:
            continue
        # The sizes, the type, the name in three words; then the version, and the way to the table.
        note = int(match.group(1), 16)
        version, distance = number(note + 24, "I"), number(note + 28, "i")
        if version != VERSION:
            raise gdb.GdbError("libasync has layout %d; this script knows layout %d" % (version, VERSION))
        found.append(Layout(note + 28 + distance))
    if not found:
        raise gdb.GdbError("this program does not use libasync")
    return found


class Task:
    def __init__(self, layout, loop, address, data):
        def field(offset, form):
            return unpack(form, data, offset)[0]

        self.layout, self.loop, self.address = layout, loop, address
        self.state = field(layout.task_state, "B")
        self.alive = (field(layout.future_refs, "I") != 0 and field(layout.future_loop, "Q") == loop
                      and self.state in STATES)
        self.id = field(layout.task_id, "Q")
        self.context = field(layout.task_context, "Q")
        self.wait_class = field(layout.task_wait_class, "Q")
        self.wait_object = field(layout.task_wait_object, "Q")
        self.name_at = field(layout.task_name, "Q")
        self.timer = field(layout.task_timer, "I")
        self.running = pointer(loop + layout.loop_current) == address

    def name(self):
        return string(self.name_at) if self.name_at else "Task-%d" % self.id

    def state_name(self):
        return "running" if self.running else STATES[self.state]

    def future(self, address):
        layout = self.layout
        kind = pointer(address + layout.future_class)
        if not number(kind + layout.future_class_is_task, "B"):
            return "a %s 0x%x" % (string(pointer(kind + layout.future_class_name)), address)
        return "task %d" % number(address + layout.task_id, "Q")

    def waits_for(self):
        layout = self.layout
        if self.running or self.state != PARKED or not self.wait_class:
            return "" if self.running else "its turn"
        name = string(pointer(self.wait_class + layout.wait_class_name))
        on = number(self.wait_class + layout.wait_class_on, "H")
        detail = self.wait_object + number(self.wait_class + layout.wait_class_detail, "H")
        if on == ON_FUTURE:
            return self.future(self.wait_object)
        if on == ON_OPERATION:
            return "%s, fd %d" % (name, number(detail + layout.op_fd, "i"))
        if on in (ON_DESCRIPTOR, ON_PROCESS):
            return "%s %d" % (name, number(detail, "i"))
        if on == ON_LOCK:
            return "%s 0x%x, held by task %d" % (name, self.wait_object, number(detail, "Q"))
        if on == ON_OBJECT:
            return "%s 0x%x" % (name, self.wait_object)
        return name

    def registers(self):
        """The registers that the task goes on with, by gdb's names; an error if it has none to show."""
        if self.running:
            raise gdb.GdbError("task %d is running: its stack is that of thread %d"
                               % (self.id, number(self.loop + self.layout.loop_thread, "i")))
        if self.state == CREATED or self.context == 0 or self.context & 1:
            raise gdb.GdbError("task %d has not begun" % self.id)
        saved = self.layout.saved[number(self.loop + self.layout.loop_switch_kind, "B") & 1]
        if saved.pc == NOWHERE:
            raise gdb.GdbError("how this machine's registers are saved is not known")
        machine = gdb.selected_frame().architecture().name()
        names = DWARF_NAMES["aarch64" if machine.startswith("aarch64") else "x86-64"]
        values = {names[n]: pointer(self.context + at) for n, at in saved.registers if n in names}
        values["sp"] = (self.context + saved.size if saved.sp == NOWHERE else pointer(self.context + saved.sp))
        values["pc"] = pointer(self.context + saved.pc)
        return values


def loops():
    for layout in layouts():
        loop = pointer(layout.loops)
        for _ in range(4096):
            if not loop:
                break
            yield layout, loop
            loop = pointer(loop + layout.loop_next)


def chunks(layout, slab):
    limit = number(slab + layout.slab_chunks, "Q")
    for head in (slab + layout.slab_full, slab + layout.slab_partial):
        node = pointer(head + layout.list_next)
        while node and node != head and limit > 0:
            yield node - layout.chunk_link
            node = pointer(node + layout.list_next)
            limit -= 1


def tasks_of(layout, loop):
    found = []
    for chunk in chunks(layout, loop + layout.loop_task_slab):
        fresh = number(chunk + layout.chunk_fresh, "I")
        room = (layout.chunk_size - layout.chunk_objects) // layout.task_size
        count = min(fresh, room)
        data = read(chunk + layout.chunk_objects, count * layout.task_size)
        for i in range(count):
            at = i * layout.task_size
            task = Task(layout, loop, chunk + layout.chunk_objects + at, data[at:at + layout.task_size])
            if task.alive:
                found.append(task)
    return sorted(found, key=lambda task: task.id)


def find_task(wanted):
    for layout, loop in loops():
        for task in tasks_of(layout, loop):
            if task.id == wanted:
                return task
    raise gdb.GdbError("there is no task %d; 'info tasks' lists them" % wanted)


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


class TaskUnwinder(gdb.unwinder.Unwinder):
    """Lets the frames of the selected task follow the innermost frame of the thread."""

    def __init__(self):
        super().__init__("libasync task")
        self.registers = None
        self.innermost = None
        self.enabled = True

    def __call__(self, frame):
        if self.registers is None or int(frame.read_register("sp")) != self.innermost[0] \
                or int(frame.read_register("pc")) != self.innermost[1]:
            return None
        # Below the task's, as the stack of a caller must not be below that of who it calls.
        unwind = frame.create_unwind_info(FrameId(gdb.Value(self.registers["sp"] - 16), gdb.Value(0)))
        for name, value in self.registers.items():
            unwind.add_saved_register(name, gdb.Value(value).cast(frame.read_register(name).type))
        return unwind

    def select(self, registers):
        self.registers = None
        gdb.invalidate_cached_frames()
        frame = gdb.newest_frame()
        self.innermost = int(frame.read_register("sp")), int(frame.read_register("pc"))
        self.registers = registers
        gdb.invalidate_cached_frames()
        if registers is not None:
            gdb.newest_frame().older().select()


class InfoTasks(gdb.Command):
    """List the tasks of a program that uses libasync, and what each waits for."""

    def __init__(self):
        super().__init__("info tasks", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        for layout, loop in loops():
            tasks = tasks_of(layout, loop)
            print("loop 0x%x: thread %d, %d tasks, %d iterations, %d switches" % (
                loop, number(loop + layout.loop_thread, "i"), len(tasks),
                number(loop + layout.loop_iterations, "Q"), number(loop + layout.loop_switches, "Q")))
            for task in tasks:
                print("%6d  %-20s %-8s %s" % (task.id, task.name(), task.state_name(), task.waits_for()))


class TaskCommand(gdb.Command):
    """Select a task of a program that uses libasync, or run a command with one selected.

task ID COMMAND: run it with the task selected, as in 'task 3 bt'
task ID:         the commands that follow are about the task
task:            go back to the stack of the thread"""

    def __init__(self, unwinder):
        super().__init__("task", gdb.COMMAND_STACK)
        self.unwinder = unwinder

    def invoke(self, argument, from_tty):
        words = argument.split(None, 1)
        if not words:
            self.unwinder.select(None)
            return
        if not words[0].isdigit():
            raise gdb.GdbError("'%s' is not the id of a task" % words[0])
        task = find_task(int(words[0]))
        if task.running and len(words) > 1:
            self.run_in_thread(task, words[1])
            return
        self.unwinder.select(task.registers())
        if len(words) == 1:
            print("task %d (%s), %s" % (task.id, task.name(), task.state_name()))
            return
        try:
            self.run(words[1])
        finally:
            self.unwinder.select(None)

    def run(self, command):
        if not re.match(r"(bt|backtrace|where)\b", command):
            gdb.execute(command)
            return
        # Frame 0 is the thread's.
        text = gdb.execute(command, to_string=True)
        at = text.find("\n#1 ")
        print(text[at + 1:] if at >= 0 else text, end="")

    def run_in_thread(self, task, command):
        wanted = number(task.loop + task.layout.loop_thread, "i")
        before = gdb.selected_thread()
        for thread in gdb.selected_inferior().threads():
            if wanted in thread.ptid:
                thread.switch()
                break
        try:
            gdb.execute(command)
        finally:
            before.switch()


unwinder = TaskUnwinder()
gdb.unwinder.register_unwinder(None, unwinder, replace=True)
InfoTasks()
TaskCommand(unwinder)
