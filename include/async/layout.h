/* SPDX-License-Identifier: MIT */
/*
 * How a program that uses the library looks from outside: for tools that read the memory of a process or a core file,
 * as `asyncctl ps` and the gdb script do. Nothing here is of use inside the program itself, and <async.h> does not
 * include it.
 *
 * The library carries an ELF note that is loaded with the program and survives strip(1): section .note.libasync, owner
 * "libasync", type ASYNC_LAYOUT_NOTE. Its descriptor is a struct async_layout_note, which leads to the table, a
 * struct async_layout, in the same object. The table says where the loops are, and where everything is in them. It does
 * not hold sizes of the reader's own: a reader that was built with another release of the library reads this one's
 * programs as long as ASYNC_LAYOUT_VERSION is the same.
 *
 *     uint64_t address = descriptor + offsetof(struct async_layout_note, table) + (uint64_t)note.table;
 *     struct async_layout table;
 *     read_memory(&table, address, sizeof(table));
 *     for (uint64_t loop = read_word(table.loops); loop; loop = read_word(loop + table.loop_next))
 *             show(loop);
 *
 * All offsets are in bytes. Fields are only ever added at the end of the table, whose `size` tells which there are;
 * when one changes its meaning the version does. async_layout(5) explains how they hang together.
 */
#ifndef ASYNC_LAYOUT_H
#define ASYNC_LAYOUT_H

#include <stdint.h>

#define ASYNC_LAYOUT_VERSION 1
#define ASYNC_LAYOUT_OWNER "libasync"
#define ASYNC_LAYOUT_NOTE 1 /* the type of the note */
#define ASYNC_LAYOUT_MAGIC UINT64_C(0x74756f79616c6e79)

/* The note's descriptor. */
struct async_layout_note {
	uint32_t version; /* ASYNC_LAYOUT_VERSION */
	int32_t table;    /* how far it is from this word to the table */
};

/* What a task waits for: `on` of its wait class. `object` is the task's wait object, `detail` an address: that many
 * bytes into the object, as the wait class says. */
enum async_layout_wait {
	ASYNC_LAYOUT_ON_OTHER = 0,  /* the name of the class is all that is known */
	ASYNC_LAYOUT_ON_TIME,       /* the task's timer */
	ASYNC_LAYOUT_ON_FUTURE,     /* object: the future, which may be a task */
	ASYNC_LAYOUT_ON_FUTURES,    /* the children of the class */
	ASYNC_LAYOUT_ON_ANY,        /* one of the children of the class */
	ASYNC_LAYOUT_ON_GROUP,      /* the children of the class; object: the task group */
	ASYNC_LAYOUT_ON_SELECT,     /* one of the children of the class, which are cases of a select */
	ASYNC_LAYOUT_ON_OPERATION,  /* detail: the operation, a struct op */
	ASYNC_LAYOUT_ON_DESCRIPTOR, /* detail: its number, an int */
	ASYNC_LAYOUT_ON_LOCK,       /* object: the lock; detail: a uint64_t, the id of the task that holds it */
	ASYNC_LAYOUT_ON_OBJECT,     /* object: what the name of the class says */
	ASYNC_LAYOUT_ON_JOB,        /* detail: a struct job */
	ASYNC_LAYOUT_ON_PROCESS,    /* detail: a pid_t */
	ASYNC_LAYOUT_ON_SIGNAL,     /* detail: a pointer to ints, then a size_t that tells how many */
};

/* How an object keeps the futures that it waits for. */
enum async_layout_children_kind {
	ASYNC_LAYOUT_NO_CHILDREN = 0,
	ASYNC_LAYOUT_CHILD,   /* at `first` is the pointer to the only one; may be NULL */
	ASYNC_LAYOUT_ARRAY,   /* at `first` is an array inside the object, at `count` a size_t */
	ASYNC_LAYOUT_POINTER, /* at `first` is the address of an array, at `count` a size_t */
	ASYNC_LAYOUT_LIST,    /* at `first` is the address of the first element, in each at `next` that of the next */
};

struct async_layout_children {
	uint16_t kind; /* enum async_layout_children_kind */
	uint16_t first, count, next;
	uint16_t stride; /* from one element of an array to the next */
	uint16_t future; /* in an element: the pointer to the future; may be NULL */
};

#define ASYNC_LAYOUT_REGISTERS 14
#define ASYNC_LAYOUT_NOWHERE UINT32_MAX

/* Where a suspended stack keeps its registers, from the address that its context says. */
struct async_layout_saved {
	uint32_t pc;            /* where it goes on */
	uint32_t stack_pointer; /* its stack pointer; ASYNC_LAYOUT_NOWHERE: that is the address plus `size` */
	uint32_t size;
	uint32_t count;         /* of callee-saved registers */
	struct {
		uint16_t number; /* DWARF's */
		uint16_t at;
	} registers[ASYNC_LAYOUT_REGISTERS];
};

struct async_layout {
	uint64_t magic;   /* ASYNC_LAYOUT_MAGIC */
	uint32_t version; /* ASYNC_LAYOUT_VERSION */
	uint32_t size;    /* sizeof(struct async_layout) of the library */
	char library[16]; /* its version in words */
	uint64_t loops;        /* the address of the pointer to the first loop */
	uint64_t membership;   /* the address of two words: the `entry_run` of the watcher by which a group hears of the
				* end of its tasks, and how far it is from that entry to the pointer to the group */
	uint64_t stack_paint;  /* what unused words of a stack hold where `loop_measures` says so */
	struct async_layout_saved saved[2]; /* by `loop_switch_kind` */

	/* A list node: circular, the head is one too. */
	uint32_t list_next;

	uint32_t loop_next;
	uint32_t loop_current;      /* the task that runs, or NULL */
	uint32_t loop_switches;     /* uint64_t, as the other counters */
	uint32_t loop_iterations;
	uint32_t loop_polls;
	uint32_t loop_tasks_created;
	uint32_t loop_tasks;        /* size_t: alive */
	uint32_t loop_jobs;         /* size_t */
	uint32_t loop_wake_state;   /* int: 1 and 2 are asleep */
	uint32_t loop_running;      /* bool: a thread is inside */
	uint32_t loop_thread;       /* pid_t: the thread that runs it or ran it last; 0: none yet */
	uint32_t loop_switch_kind;  /* uint8_t, bit 0: 0 assembly, 1 ucontext */
	uint32_t loop_observed;     /* uint8_t: bit 1 is set if tasks have accounts */
	uint32_t loop_clock;        /* enum async_clock */
	uint32_t loop_virtual_now;  /* int64_t */
	uint32_t loop_measures;     /* bool: stacks are painted */
	uint32_t loop_timers;       /* a heap */
	uint32_t loop_task_slab;    /* a slab */
	uint32_t loop_reactor;      /* pointer, may be NULL */

	uint32_t reactor_ops;       /* pointer to what has, at `reactor_ops_name`, a pointer to its name */
	uint32_t reactor_ops_name;
	uint32_t reactor_pending;   /* size_t */

	uint32_t heap_slots;        /* pointer to an array */
	uint32_t heap_count;        /* uint32_t */
	uint32_t heap_slot_size;
	uint32_t heap_slot_key;     /* int64_t: the deadline */

	uint32_t slab_object_size;  /* size_t */
	uint32_t slab_partial;      /* lists of chunks */
	uint32_t slab_full;
	uint32_t slab_chunks;       /* size_t: how many there are in both */
	uint32_t chunk_size;        /* of each in memory */
	uint32_t chunk_link;        /* the list node */
	uint32_t chunk_fresh;       /* uint32_t: how many objects were ever used, free ones included */
	uint32_t chunk_objects;     /* the first */

	uint32_t task_size;
	uint32_t task_id;           /* uint64_t */
	uint32_t task_state;        /* uint8_t: 0 created, 1 active, 2 parked, 3 ended */
	uint32_t task_stack_class;  /* uint8_t: the stack has stack_least << class bytes */
	uint32_t task_stack;        /* pointer to the header of its stack */
	uint32_t task_context;      /* pointer: the saved stack pointer */
	uint32_t task_word;         /* int64_t: while it is parked, the time of the loop's last service before that */
	uint32_t task_wait_class;   /* pointer */
	uint32_t task_wait_object;  /* pointer */
	uint32_t task_timer;        /* uint32_t: the index in the loop's timers; UINT32_MAX: none */
	uint32_t task_name;         /* pointer; NULL: "Task-id" */
	uint32_t task_fn;           /* pointer to its function */
	uint32_t task_creator;      /* the return address of the call that created it */
	uint32_t task_cancels;      /* int: cancellations requested */

	uint32_t future_loop;       /* a task is one, at offset 0 */
	uint32_t future_class;
	uint32_t future_refs;       /* uint32_t: 0 is free memory */
	uint32_t future_state;      /* uint8_t: 0 pending, 1 done */
	uint32_t future_watchers;   /* a list of watchers */

	uint32_t watcher_link;
	uint32_t watcher_entry;     /* pointer to the entry that becomes ready */
	uint32_t entry_run;
	uint32_t group_parent;      /* pointer to the task whose group it is */

	uint32_t future_class_name; /* pointer */
	uint32_t future_class_is_task; /* bool */
	uint32_t future_class_children; /* struct async_layout_children */
	uint32_t wait_class_name;   /* pointer */
	uint32_t wait_class_on;     /* uint16_t: enum async_layout_wait */
	uint32_t wait_class_detail; /* uint16_t */
	uint32_t wait_class_children; /* struct async_layout_children */

	uint32_t op_code;           /* uint8_t: the words are in the names of the wait classes */
	uint32_t op_fd;             /* int */
	uint32_t op_events;         /* short, as poll(2) */
	uint32_t job_state;         /* int: 1 queued, 2 running, 3 and more over */
	uint32_t case_kind;         /* enum async_select_kind */
	uint32_t case_queue;        /* pointer */
	uint32_t case_fd;           /* int */
	uint32_t case_when;         /* int64_t */

	uint32_t stack_least;       /* bytes */
	uint32_t stack_since;       /* int64_t, in the header of a stack: the accounts of the task */
	uint32_t stack_ran;         /* int64_t */
	uint32_t stack_switches;    /* uint64_t */
};

#endif
