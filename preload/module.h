#pragma once
/* A module of the library, listed in modules.def in start order, which is also fork order. */
struct oa_module {
	const char *name;
	int (*init)(void);         /* at activation, host thread: no heap, no blocking */
	void (*fork_before)(void); /* pthread_atfork prepare */
	void (*fork_parent)(void);
	void (*fork_child)(void);  /* forget what belongs to the parent */
};

extern const struct oa_module oa_modules[];
extern const unsigned oa_modules_count;
