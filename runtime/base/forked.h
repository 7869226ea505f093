/* SPDX-License-Identifier: MIT */
/*
 * In which process this is. What cannot be used in a child of the process that made it notes the number at its making;
 * loops are told one by one, see core/registry.c. Only fork(3) counts: vfork(2), _Fork(3) and clone(2) call no
 * handlers.
 */
#ifndef BASE_FORKED_H
#define BASE_FORKED_H

/* How many forks lie between the process that loaded the library and this one. */
extern unsigned forked;

#endif
