/* Names whose only or newest version would need a young glibc: a direct import of one makes the loader
 * refuse to start every program under an older one. Most are looked up in the symbol tables of the libraries
 * that are loaded, which does not need dlsym() (before glibc 2.34 that was in libdl, and pthread_create() in
 * libpthread, which a program need not have loaded); the rest are system calls. */
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "core/glibc_floor.h"
#include "core/sys.h"
#include "core/wrap.h"

/* Our object is linked without the compiler's start files, because they bring weak references that a
 * program or another library could define; this is the one thing of theirs that we need. */
extern void *__dso_handle;
__attribute__((visibility("hidden"), weak)) void *__dso_handle = &__dso_handle;

struct floor_tables {
	const ElfW(Sym) *symbols;
	const char *strings;
	const ElfW(Half) *versions;
	const uint32_t *gnu_hash;
};

/* Looked up in libc, libpthread and libdl, all at once at the first need of one: that is when the
 * constructor asks for dlsym(), so no host thread walks the loader's list later. */
#define FLOOR_NAMES(X) \
	X(dlsym) X(dlvsym) X(dlopen) X(dlclose) X(dlerror) X(dladdr) \
	X(pthread_create) X(pthread_detach) X(pthread_setname_np) X(pthread_key_create) \
	X(pthread_setspecific) X(pthread_getspecific) X(pthread_attr_setstacksize) \
	X(pthread_attr_getstack) X(pthread_getattr_np) X(clock_gettime)

enum floor_idx {
#define X(name) FLOOR_##name,
	FLOOR_NAMES(X)
#undef X
	FLOOR_COUNT
};

OA_START_CONST static const char floor_names[] =
#define X(name) #name "\0"
	FLOOR_NAMES(X)
#undef X
	;

static _Atomic(void *) floor_found[FLOOR_COUNT];

static bool floor_is(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	return !strcmp(slash ? slash + 1 : path, name);
}

OA_START_CONST static const char floor_libc[] = "libc.so.6", floor_libpthread[] = "libpthread.so.0", floor_libdl[] = "libdl.so.2";

static bool floor_is_libc(const char *path)
{
	return floor_is(path, floor_libc) || floor_is(path, floor_libpthread) || floor_is(path, floor_libdl);
}

OA_START_CODE static struct floor_tables floor_tables_of(const struct dl_phdr_info *object)
{
	struct floor_tables t = { 0 };
	const ElfW(Dyn) *dyn = NULL;
	ElfW(Addr) base = 0; /* glibc has relocated them in place where it could */

	for (unsigned i = 0; i < object->dlpi_phnum; i++)
		if (object->dlpi_phdr[i].p_type == PT_DYNAMIC) {
			dyn = (const void *)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr);
			base = object->dlpi_phdr[i].p_flags & PF_W ? 0 : object->dlpi_addr;
		}
	for (; dyn && dyn->d_tag != DT_NULL; dyn++) {
		const void *at = (const void *)(base + dyn->d_un.d_ptr);

		switch (dyn->d_tag) {
		case DT_SYMTAB: t.symbols = at; break;
		case DT_STRTAB: t.strings = at; break;
		case DT_VERSYM: t.versions = at; break;
		case DT_GNU_HASH: t.gnu_hash = at; break;
		}
	}
	return t;
}

static uint32_t floor_hash(const char *name)
{
	uint32_t hash = 5381;

	while (*name)
		hash = hash * 33 + (unsigned char)*name++;
	return hash;
}

static bool floor_is_function(const ElfW(Sym) *symbol)
{
	return ELF64_ST_TYPE(symbol->st_info) == STT_FUNC;
}

/* A symbol's default version is the one without the "hidden" bit. */
static bool floor_matches(const struct floor_tables *t, uint32_t i, const char *name)
{
	const ElfW(Sym) *symbol = &t->symbols[i];

	return symbol->st_shndx != SHN_UNDEF && !(t->versions && t->versions[i] & 0x8000) &&
	       !strcmp(t->strings + symbol->st_name, name);
}

OA_START_CODE static const ElfW(Sym) *floor_look_up_any(const struct floor_tables *t, const char *name)
{
	uint32_t bucket_count = t->gnu_hash[0], first = t->gnu_hash[1], bloom_words = t->gnu_hash[2];
	const uint32_t *buckets = t->gnu_hash + 4 + bloom_words * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
	const uint32_t *chain = buckets + bucket_count;
	uint32_t hash = floor_hash(name), i;

	if (!bucket_count) /* it defines nothing */
		return NULL;
	i = buckets[hash % bucket_count];
	if (i < first)
		return NULL;
	do {
		if ((chain[i - first] | 1) == (hash | 1) && floor_matches(t, i, name))
			return &t->symbols[i];
	} while (!(chain[i++ - first] & 1));
	return NULL;
}

static const ElfW(Sym) *floor_look_up(const struct floor_tables *t, const char *name)
{
	const ElfW(Sym) *symbol = floor_look_up_any(t, name);

	return symbol && floor_is_function(symbol) ? symbol : NULL;
}

/* Calls visit() with the tables of each of the three libraries that is loaded, until it returns non-zero. */
struct floor_walk {
	int (*visit)(const struct floor_tables *t, ElfW(Addr) base, void *arg);
	void *arg;
};

static int floor_walk_object(struct dl_phdr_info *object, size_t bytes, void *arg)
{
	struct floor_walk *walk = arg;
	struct floor_tables t;

	if (!floor_is_libc(object->dlpi_name))
		return 0;
	t = floor_tables_of(object);
	if (!t.symbols || !t.strings || !t.gnu_hash)
		return 0;
	return walk->visit(&t, object->dlpi_addr, walk->arg);
}

struct floor_search {
	const char *name;
	void *found;
};

static int floor_search_one(const struct floor_tables *t, ElfW(Addr) base, void *arg)
{
	struct floor_search *search = arg;
	const ElfW(Sym) *symbol = floor_look_up(t, search->name);

	if (symbol)
		search->found = (void *)(base + symbol->st_value);
	return symbol != NULL;
}

void *oa_floor_find(const char *name)
{
	struct floor_search search = { .name = name };
	struct floor_walk walk = { floor_search_one, &search };

	dl_iterate_phdr(floor_walk_object, &walk);
	return search.found;
}

/* -- what comes after this very object -- */

struct floor_next {
	const char *names;
	unsigned count;
	void *_Atomic *table;
	uint64_t *found; /* a bit for each name */
	bool passed_us, sure;
};

static bool floor_is_us(const struct dl_phdr_info *object)
{
	ElfW(Addr) here = (ElfW(Addr))&floor_found - object->dlpi_addr;

	for (unsigned i = 0; i < object->dlpi_phnum; i++)
		if (object->dlpi_phdr[i].p_type == PT_LOAD &&
		    here - object->dlpi_phdr[i].p_vaddr < object->dlpi_phdr[i].p_memsz)
			return true;
	return false;
}

static void floor_next_in(struct floor_next *next, const struct floor_tables *t, ElfW(Addr) base)
{
	const char *name = next->names;

	for (unsigned i = 0; i < next->count; i++, name += strlen(name) + 1) {
		const ElfW(Sym) *symbol = next->found[i / 64] >> (i % 64) & 1 ? NULL : floor_look_up_any(t, name);

		if (!symbol)
			continue;
		if (!floor_is_function(symbol)) {
			next->sure = false;
			return;
		}
		next->found[i / 64] |= 1ull << (i % 64);
		atomic_store_explicit(&next->table[i], (void *)(base + symbol->st_value), memory_order_release);
	}
}

OA_START_CODE static int floor_next_object(struct dl_phdr_info *object, size_t bytes, void *arg)
{
	struct floor_next *next = arg;
	struct floor_tables t;

	if (!next->passed_us) {
		next->passed_us = floor_is_us(object);
		return 0;
	}
	t = floor_tables_of(object);
	if (!t.symbols || !t.strings || !t.gnu_hash) {
		next->sure = false;
		return 1;
	}
	floor_next_in(next, &t, object->dlpi_addr);
	return !next->sure || floor_is(object->dlpi_name, floor_libc);
}

OA_START_CODE bool oa_floor_find_next(const char *names, unsigned count, void *_Atomic *table, uint64_t *ret_found)
{
	struct floor_next next = { .names = names, .count = count, .table = table, .found = ret_found, .sure = true };

	dl_iterate_phdr(floor_next_object, &next);
	return next.passed_us && next.sure;
}

struct floor_before {
	const char *name;
	bool found;
};

OA_START_CODE static int floor_before_object(struct dl_phdr_info *object, size_t bytes, void *arg)
{
	struct floor_before *before = arg;
	struct floor_tables t;

	if (floor_is_us(object))
		return 1;
	t = floor_tables_of(object);
	before->found = t.symbols && t.strings && t.gnu_hash && floor_look_up_any(&t, before->name);
	return before->found;
}

OA_START_CODE bool oa_floor_is_before_us(const char *name)
{
	struct floor_before before = { .name = name };

	dl_iterate_phdr(floor_before_object, &before);
	return before.found;
}

static int floor_search_all(const struct floor_tables *t, ElfW(Addr) base, void *arg)
{
	const char *name = floor_names;

	for (unsigned i = 0; i < FLOOR_COUNT; i++, name += strlen(name) + 1) {
		const ElfW(Sym) *symbol = atomic_load(&floor_found[i]) ? NULL : floor_look_up(t, name);

		if (symbol)
			atomic_store(&floor_found[i], (void *)(base + symbol->st_value));
	}
	return 0;
}

/* A library that is missing now may be loaded later, so a name that was not found is looked for again. */
static void *floor_find(enum floor_idx i)
{
	struct floor_walk walk = { floor_search_all, NULL };

	if (!atomic_load_explicit(&floor_found[i], memory_order_acquire))
		dl_iterate_phdr(floor_walk_object, &walk);
	return atomic_load_explicit(&floor_found[i], memory_order_acquire);
}

/* Calls the real function, or gives `otherwise` where there is none. */
#define FLOOR_CALL(x, otherwise, ...) \
	({ \
		__typeof__(&x) real_ = (__typeof__(&x))floor_find(FLOOR_##x); \
		real_ ? real_(__VA_ARGS__) : (otherwise); \
	})

/* libc's own, also where another preloaded library has a clock of its own making (libfaketime): on one that stands
 * still no deadline ever passes, and a program would not end. The constructor has found it; before, the kernel is asked. */
int __wrap_clock_gettime(clockid_t id, struct timespec *ret_now)
{
	__typeof__(&clock_gettime) real =
		(__typeof__(&clock_gettime))atomic_load_explicit(&floor_found[FLOOR_clock_gettime], memory_order_acquire);

	return real ? real(id, ret_now) : (int)oa_sys2(SYS_clock_gettime, id, ret_now);
}

/* RTLD_NEXT goes by the address of the caller: this object, as for a direct call. */
void *__wrap_dlsym(void *restrict handle, const char *restrict name)
{
	return FLOOR_CALL(dlsym, NULL, handle, name);
}

void *__wrap_dlvsym(void *restrict handle, const char *restrict name, const char *restrict version)
{
	return FLOOR_CALL(dlvsym, NULL, handle, name, version);
}

void *__wrap_dlopen(const char *path, int flags) { return FLOOR_CALL(dlopen, NULL, path, flags); }
int __wrap_dlclose(void *handle) { return FLOOR_CALL(dlclose, -1, handle); }
char *__wrap_dlerror(void) { return FLOOR_CALL(dlerror, NULL); }
int __wrap_dladdr(const void *at, Dl_info *ret_info) { return FLOOR_CALL(dladdr, 0, at, ret_info); }

int __wrap_pthread_create(pthread_t *restrict ret_thread, const pthread_attr_t *restrict attr,
			  void *(*body)(void *), void *restrict arg)
{
	return FLOOR_CALL(pthread_create, ENOSYS, ret_thread, attr, body, arg);
}

int __wrap_pthread_detach(pthread_t thread) { return FLOOR_CALL(pthread_detach, ENOSYS, thread); }

int __wrap_pthread_setname_np(pthread_t thread, const char *name)
{
	return FLOOR_CALL(pthread_setname_np, ENOSYS, thread, name);
}

int __wrap_pthread_key_create(pthread_key_t *ret_key, void (*on_exit)(void *))
{
	return FLOOR_CALL(pthread_key_create, ENOSYS, ret_key, on_exit);
}

int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
	return FLOOR_CALL(pthread_setspecific, ENOSYS, key, value);
}

void *__wrap_pthread_getspecific(pthread_key_t key) { return FLOOR_CALL(pthread_getspecific, NULL, key); }

int __wrap_pthread_attr_setstacksize(pthread_attr_t *attr, size_t bytes)
{
	return FLOOR_CALL(pthread_attr_setstacksize, ENOSYS, attr, bytes);
}

int __wrap_pthread_attr_getstack(const pthread_attr_t *restrict attr, void **restrict ret_at,
				 size_t *restrict ret_bytes)
{
	return FLOOR_CALL(pthread_attr_getstack, ENOSYS, attr, ret_at, ret_bytes);
}

int __wrap_pthread_getattr_np(pthread_t thread, pthread_attr_t *ret_attr)
{
	return FLOOR_CALL(pthread_getattr_np, ENOSYS, thread, ret_attr);
}

/* The kernel's set of signals is the first 8 bytes of sigset_t. Like libc, leaves the two signals that
 * libc uses itself (32 and 33) unblocked. */
int __wrap_pthread_sigmask(int how, const sigset_t *restrict set, sigset_t *restrict ret_old)
{
	static const uint64_t libcs_own = 3ull << 31;
	uint64_t mask = 0;

	if (set)
		memcpy(&mask, set, sizeof(mask));
	if (how != SIG_UNBLOCK)
		mask &= ~libcs_own;
	return (int)-oa_sys4(SYS_rt_sigprocmask, how, set ? &mask : NULL, ret_old, sizeof(mask));
}

ssize_t __wrap_getrandom(void *buf, size_t bytes, unsigned int flags)
{
	long result = oa_sys3(SYS_getrandom, buf, bytes, flags);

	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

void __wrap_arc4random_buf(void *buf, size_t bytes)
{
	char *at = buf;

	while (bytes) {
		long n = oa_sys3(SYS_getrandom, at, bytes < 256 ? bytes : 256, 0);

		if (n <= 0 && n != -EINTR)
			return; /* no such call here: only libevent's name lookup, which we do not use, asks */
		if (n > 0) {
			at += n;
			bytes -= (size_t)n;
		}
	}
}

uint32_t __wrap_arc4random(void)
{
	uint32_t value;

	__wrap_arc4random_buf(&value, sizeof(value));
	return value;
}

void __wrap_explicit_bzero(void *at, size_t bytes)
{
	memset(at, 0, bytes);
	__asm__ volatile("" : : "r"(at) : "memory");
}

pid_t __wrap_gettid(void) { return (pid_t)oa_sys0(SYS_gettid); }
