#define OA_LOG_DOMAIN "spool"
#include "exporter/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#include "core/clock.h"
#include "core/config.h"
#include "core/id.h"
#include "core/log.h"
#include "core/stats.h"
#include "core/sys.h"
#include "exporter/addr_text.h"
#include "exporter/loop.h"

#define SPOOL_LOCK_TRIES 100 /* of 2 ms: a file is written in less */
#define SPOOL_BODY_MAX   (24u << 20)
#define SPOOL_TMP_OLD_S  60
#define SPOOL_MAGIC      "OASPOOL1"

struct spool_head {
	char magic[8];
	uint32_t count;
	uint32_t gzip;
	uint64_t len;
};

static struct {
	bool opened, works;
	int dir;
	uint32_t seq;
	uint64_t bytes, spans, files; /* when last looked at */
} sp;

/* A name's parts: <unix ns, 16 hex>-<pid>-<seq>-<spans>.<kind>[.out] */
struct spool_name {
	uint64_t spans;
	struct oa_bytes kind;
	bool out;
};

static bool spool_parse(const char *name, struct spool_name *ret)
{
	struct oa_bytes rest = oa_bytes_str(name);
	const uint8_t *dot = memchr(rest.ptr, '.', rest.len);
	size_t len = dot ? (size_t)(dot - rest.ptr) : 0;

	if (len < 20 || rest.ptr[16] != '-' || rest.len >= OA_SPOOL_NAME_MAX)
		return false;
	ret->kind = oa_bytes(dot + 1, rest.len - len - 1);
	ret->out = ret->kind.len > 4 && !memcmp(ret->kind.ptr + ret->kind.len - 4, ".out", 4);
	ret->kind.len -= ret->out ? 4 : 0;
	ret->spans = 0;
	for (const uint8_t *p = memrchr(rest.ptr, '-', len), *end = dot; ++p < end;)
		ret->spans = ret->spans * 10 + (*p - '0') % 10;
	return true;
}

/* -- the folder -- */

struct spool_entry {
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

typedef void spool_see_fn(void *arg, const char *name);

static void spool_walk(spool_see_fn *see, void *arg)
{
	static _Alignas(8) char buf[32768];
	long n;

	(void)oa_sys3(SYS_lseek, sp.dir, 0, SEEK_SET);
	while ((n = oa_sys3(SYS_getdents64, sp.dir, buf, sizeof(buf))) > 0)
		for (long at = 0; at < n;) {
			const struct spool_entry *e = (const void *)(buf + at);

			see(arg, e->name);
			at += e->reclen;
		}
}

static int spool_reopen(void)
{
	long fd;

	if (oa_loop_fd_check(sp.dir))
		return 0;
	fd = oa_sys4(SYS_openat, AT_FDCWD, oa_config.spool_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return (int)fd;
	sp.dir = oa_loop_fd_adopt((int)fd, NULL, NULL);
	return sp.dir < 0 ? sp.dir : 0;
}

static int spool_lock(void)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	long err = spool_reopen();

	for (unsigned i = 0; !err && i < SPOOL_LOCK_TRIES; i++) {
		err = oa_sys2(SYS_flock, sp.dir, LOCK_EX | LOCK_NB);
		if (err != -EAGAIN)
			break;
		(void)oa_sys2(SYS_nanosleep, &pause, NULL);
		err = i + 1 < SPOOL_LOCK_TRIES ? 0 : -EAGAIN;
	}
	return (int)err;
}

static void spool_unlock(void) { (void)oa_sys2(SYS_flock, sp.dir, LOCK_UN); }

static void spool_remove(const char *name) { (void)oa_sys3(SYS_unlinkat, sp.dir, name, 0); }

/* Removes what a process left when it was killed: a half file, and one that was on its way. */
static void spool_look_at_left(const char *name, const struct stat *st, const struct spool_name *parts)
{
	long fd;

	if (!parts) {
		if ((int64_t)(oa_unix_now_ns() / 1000000000) - st->st_mtim.tv_sec > SPOOL_TMP_OLD_S)
			spool_remove(name);
		return;
	}
	fd = oa_sys4(SYS_openat, sp.dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	if (fd < 0)
		return;
	if (oa_sys2(SYS_flock, fd, LOCK_EX | LOCK_NB) == 0) {
		spool_remove(name);
		oa_stat_add(OA_STAT_export_unknown, parts->spans);
		oa_stat_add(OA_STAT_spool_unknown, parts->spans);
	}
	(void)oa_sys1(SYS_close, fd);
}

static void spool_see(void *arg, const char *name)
{
	struct spool_name parts;
	struct stat st;

	(void)arg;
	if (oa_sys4(SYS_newfstatat, sp.dir, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
		return;
	if (!spool_parse(name, &parts)) {
		if (!strncmp(name, ".spool-", 7))
			spool_look_at_left(name, &st, NULL);
		return;
	}
	sp.bytes += (uint64_t)st.st_size;
	sp.spans += parts.spans;
	sp.files++;
}

static void spool_measure(void)
{
	sp.bytes = sp.spans = sp.files = 0;
	spool_walk(spool_see, NULL);
}

/* -- in -- */

static char *spool_hex(char *to, uint64_t value)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		*to++ = "0123456789abcdef"[value >> shift & 15];
	return to;
}

static void spool_name(char to[OA_SPOOL_NAME_MAX], const char *kind, size_t count)
{
	char *at = spool_hex(to, oa_unix_now_ns());

	*at++ = '-';
	at = oa_decimal(at, (uint64_t)oa_sys0(SYS_getpid));
	*at++ = '-';
	at = oa_decimal(at, sp.seq++);
	*at++ = '-';
	at = oa_decimal(at, count);
	*at++ = '.';
	memcpy(at, kind, strlen(kind) + 1);
}

static long spool_write(int fd, const struct spool_head *head, struct oa_bytes body)
{
	long n = oa_sys3(SYS_write, fd, head, sizeof(*head));
	size_t done = 0;

	if (n != (long)sizeof(*head))
		return n < 0 ? n : -ENOSPC;
	while (done < body.len && (n = oa_sys3(SYS_write, fd, body.ptr + done, body.len - done)) > 0)
		done += (size_t)n;
	return done == body.len ? 0 : n < 0 ? n : -ENOSPC;
}

static int spool_create(const char *name, const struct spool_head *head, struct oa_bytes body)
{
	char tmp[32] = ".spool-";
	long fd, err;

	*spool_hex(tmp + 7, oa_id_random()) = '\0';
	fd = oa_sys4(SYS_openat, sp.dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return (int)fd;
	err = spool_write((int)fd, head, body);
	if (!err)
		err = oa_sys4(SYS_renameat, sp.dir, tmp, sp.dir, name);
	if (err)
		spool_remove(tmp);
	(void)oa_sys1(SYS_close, fd);
	return (int)err;
}

int oa_spool_put(const char *kind, struct oa_bytes body, bool gzip, size_t count)
{
	struct spool_head head = { SPOOL_MAGIC, (uint32_t)count, gzip, body.len };
	char name[OA_SPOOL_NAME_MAX];
	int err = spool_lock();

	if (!err) {
		spool_measure();
		spool_name(name, kind, count);
		if (body.len > SPOOL_BODY_MAX || sp.bytes + sizeof(head) + body.len > (uint64_t)oa_config.spool_max_bytes)
			err = -ENOSPC;
		else
			err = spool_create(name, &head, body);
		spool_unlock();
	}
	if (!err) {
		sp.bytes += sizeof(head) + body.len;
		sp.spans += count;
		sp.files++;
	}
	oa_stat_add(err ? OA_STAT_spool_full : OA_STAT_spool_written, count);
	return err;
}

/* -- out -- */

struct spool_search {
	const char *kind;
	char after[OA_SPOOL_NAME_MAX]; /* names up to this one were looked at */
	char best[OA_SPOOL_NAME_MAX];
};

static void spool_find(void *arg, const char *name)
{
	struct spool_search *s = arg;
	struct spool_name parts;
	struct stat st;

	if (!spool_parse(name, &parts) || !oa_bytes_eq(parts.kind, oa_bytes_str(s->kind)))
		return;
	if (parts.out) {
		if (oa_sys4(SYS_newfstatat, sp.dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			spool_look_at_left(name, &st, &parts);
		return;
	}
	if (strcmp(name, s->after) > 0 && (!s->best[0] || strcmp(name, s->best) < 0))
		memcpy(s->best, name, strlen(name) + 1);
}

/* A file that cannot be what we wrote is removed. */
static bool spool_read(struct oa_spool_file *f)
{
	struct spool_head head;
	struct stat st;
	size_t done = 0;
	long n;

	if (oa_sys2(SYS_fstat, f->fd, &st) || oa_sys3(SYS_read, f->fd, &head, sizeof(head)) != sizeof(head) ||
	    memcmp(head.magic, SPOOL_MAGIC, sizeof(head.magic)) != 0 || head.len > SPOOL_BODY_MAX ||
	    (uint64_t)st.st_size != sizeof(head) + head.len)
		return false;
	f->mem = malloc(head.len + 1);
	if (!f->mem)
		return false;
	while (done < head.len && (n = oa_sys3(SYS_read, f->fd, f->mem + done, head.len - done)) > 0)
		done += (size_t)n;
	f->body = oa_bytes(f->mem, done);
	f->count = head.count;
	f->gzip = head.gzip;
	return done == head.len;
}

static void spool_close(struct oa_spool_file *f)
{
	oa_loop_fd_close(f->fd); /* and its lock */
	free(f->mem);
	*f = (struct oa_spool_file){ 0 };
}

static bool spool_move(struct oa_spool_file *f, bool out)
{
	char other[OA_SPOOL_NAME_MAX + 4];
	size_t len = strlen(f->name);

	if (out && len + 5 > sizeof(f->name))
		return false;
	memcpy(other, f->name, len + 1);
	memcpy(out ? other + len : other + len - 4, out ? ".out" : "", out ? 5 : 1);
	if (oa_sys4(SYS_renameat, sp.dir, f->name, sp.dir, other))
		return false;
	memcpy(f->name, other, strlen(other) + 1);
	return true;
}

static bool spool_claim(struct oa_spool_file *f, const char *name)
{
	long fd = oa_sys4(SYS_openat, sp.dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	struct stat st;

	*f = (struct oa_spool_file){ 0 };
	if (fd < 0 || (f->fd = oa_loop_fd_adopt((int)fd, NULL, NULL)) < 0) {
		f->fd = 0;
		return false;
	}
	memcpy(f->name, name, strlen(name) + 1);
	/* Locked by another: it is sending it. No name any more: it has. */
	if (oa_sys2(SYS_flock, f->fd, LOCK_EX | LOCK_NB) || oa_sys2(SYS_fstat, f->fd, &st) || !st.st_nlink ||
	    oa_sys4(SYS_newfstatat, sp.dir, name, &st, AT_SYMLINK_NOFOLLOW)) {
		spool_close(f);
		return false;
	}
	if (!spool_read(f)) {
		oa_info("%s is no file of ours, or cut: removed", name);
		spool_remove(name);
		spool_close(f);
		return false;
	}
	if (spool_move(f, true))
		return true;
	spool_close(f);
	return false;
}

bool oa_spool_take(const char *kind, struct oa_spool_file *ret_file)
{
	struct spool_search search = { .kind = kind };

	if (spool_reopen())
		return false;
	for (;;) {
		search.best[0] = '\0';
		spool_walk(spool_find, &search);
		if (!search.best[0])
			return false;
		if (spool_claim(ret_file, search.best))
			return true;
		memcpy(search.after, search.best, sizeof(search.after));
	}
}

static uint64_t spool_less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

void oa_spool_done(struct oa_spool_file *f)
{
	if (spool_reopen() == 0)
		spool_remove(f->name);
	sp.bytes = spool_less(sp.bytes, sizeof(struct spool_head) + f->body.len);
	sp.spans = spool_less(sp.spans, f->count);
	sp.files = spool_less(sp.files, 1);
	spool_close(f);
}

void oa_spool_back(struct oa_spool_file *f)
{
	if (spool_reopen() == 0)
		(void)spool_move(f, false);
	spool_close(f);
}

/* -- */

void oa_spool_fill(uint64_t *ret_bytes, uint64_t *ret_spans, uint64_t *ret_files)
{
	if (sp.works && spool_reopen() == 0)
		spool_measure();
	*ret_bytes = sp.bytes;
	*ret_spans = sp.spans;
	*ret_files = sp.files;
}

bool oa_spool_open(void)
{
	int err;

	if (sp.opened || !oa_config.spool_dir || !*oa_config.spool_dir)
		return sp.works;
	sp.opened = true;
	err = oa_config.spool_dir[0] == '/' ? spool_lock() : -EINVAL;
	if (err) {
		oa_warn("OTELAUTO_SPOOL_DIR: %s cannot be used (error %d): nothing is kept there", oa_config.spool_dir, -err);
		return false;
	}
	spool_measure();
	spool_unlock();
	sp.works = true;
	return true;
}

void oa_spool_forget(void) { memset(&sp, 0, sizeof(sp)); }
