/* The little stdio that the third parties need: certificates, resolv.conf and hosts are read whole into
 * the arena. libc's FILE would take the host's heap, a low descriptor without close on exec, and locks.
 * What they would print goes nowhere: stdout and stderr are the host's. */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>

#include "core/arena.h"
#include "core/sys.h"
#include "core/wrap.h"

#define WRAP_FILE_MAX (4u << 20) /* the largest CA bundles are a quarter of a megabyte */

/* What the FILE pointers that we hand out really point to. */
struct wrap_file {
	size_t len;
	size_t at;
	char text[];
};

static int wrap_file_fail(int error)
{
	errno = error;
	return -1;
}

/* Devices may have no end (c-ares seeds itself from /dev/urandom): of those one buffer is read. */
static bool wrap_file_has_end(int fd)
{
	struct stat st;

	return oa_sys2(SYS_fstat, fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* Grows as it reads, because files under /proc have no size. */
static struct wrap_file *wrap_file_load(int fd)
{
	bool whole = wrap_file_has_end(fd);
	struct wrap_file *file = NULL;
	size_t room = 0;
	long n;

	do {
		if (!file || file->len == room) {
			size_t more = room ? 2 * room : 4096;
			struct wrap_file *grown = more > WRAP_FILE_MAX ? NULL :
						  oa_arena_resize(file, sizeof(*file) + more);

			if (!grown) {
				oa_arena_free(file);
				return NULL;
			}
			if (!file)
				grown->len = grown->at = 0;
			file = grown;
			room = more;
		}
		n = oa_sys3(SYS_read, fd, file->text + file->len, room - file->len);
		file->len += n > 0 ? (size_t)n : 0;
	} while ((n > 0 && whole) || n == -EINTR);
	if (n >= 0)
		return file;
	oa_arena_free(file);
	return NULL;
}

FILE *__wrap_fopen(const char *restrict path, const char *restrict mode)
{
	struct wrap_file *file;
	long fd;

	if (mode[0] != 'r' || strchr(mode, '+')) {
		wrap_file_fail(EACCES);
		return NULL;
	}
	fd = oa_sys4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
	if (fd < 0) {
		wrap_file_fail((int)-fd);
		return NULL;
	}
	file = wrap_file_load((int)fd);
	oa_sys1(SYS_close, fd);
	if (!file)
		wrap_file_fail(EIO);
	return (FILE *)file;
}

FILE *__wrap_fopen64(const char *restrict path, const char *restrict mode) { return __wrap_fopen(path, mode); }

int __wrap_fclose(FILE *stream)
{
	oa_arena_free(stream);
	return 0;
}

size_t __wrap_fread(void *restrict buf, size_t bytes, size_t count, FILE *restrict stream)
{
	struct wrap_file *file = (struct wrap_file *)stream;
	size_t whole = bytes ? (file->len - file->at) / bytes : 0;

	if (whole > count)
		whole = count;
	memcpy(buf, file->text + file->at, whole * bytes);
	file->at += whole * bytes;
	return whole;
}

char *__wrap_fgets(char *restrict buf, int size, FILE *restrict stream)
{
	struct wrap_file *file = (struct wrap_file *)stream;
	size_t left = file->len - file->at;
	const char *end;

	if (size < 2 || left == 0)
		return NULL;
	if (left > (size_t)size - 1)
		left = (size_t)size - 1;
	end = memchr(file->text + file->at, '\n', left);
	if (end)
		left = (size_t)(end + 1 - (file->text + file->at));
	memcpy(buf, file->text + file->at, left);
	buf[left] = '\0';
	file->at += left;
	return buf;
}

int __wrap_fseek(FILE *stream, long offset, int whence)
{
	struct wrap_file *file = (struct wrap_file *)stream;
	size_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? file->at : file->len;

	if ((offset < 0 && (size_t)-offset > base) || (offset > 0 && (size_t)offset > file->len - base))
		return wrap_file_fail(EINVAL);
	file->at = base + (size_t)offset;
	return 0;
}

long __wrap_ftell(FILE *stream) { return (long)((struct wrap_file *)stream)->at; }

int __wrap_ferror(FILE *stream) { return 0; }

int __wrap_setvbuf(FILE *restrict stream, char *restrict buf, int mode, size_t bytes) { return 0; }

size_t __wrap_fwrite(const void *restrict buf, size_t bytes, size_t count, FILE *restrict stream) { return count; }
int __wrap_fputs(const char *restrict text, FILE *restrict stream) { return 0; }
int __wrap_fputc(int byte, FILE *stream) { return byte; }
int __wrap_fprintf(FILE *restrict stream, const char *restrict format, ...) { return 0; }
int __wrap_printf(const char *restrict format, ...) { return 0; }
int __wrap_puts(const char *text) { return 0; }
int __wrap_putchar(int byte) { return byte; }
void __wrap_perror(const char *text) {}

static int wrap_stat(const char *path, struct stat *ret_stat, int flags)
{
	long result = oa_sys4(SYS_newfstatat, AT_FDCWD, path, ret_stat, flags);

	return result < 0 ? wrap_file_fail((int)-result) : 0;
}

int __wrap_stat(const char *restrict path, struct stat *restrict ret_stat) { return wrap_stat(path, ret_stat, 0); }

int __wrap_lstat(const char *restrict path, struct stat *restrict ret_stat)
{
	return wrap_stat(path, ret_stat, AT_SYMLINK_NOFOLLOW);
}

DIR *__wrap_opendir(const char *path)
{
	wrap_file_fail(EACCES);
	return NULL;
}

struct dirent *__wrap_readdir(DIR *dir) { return NULL; }
int __wrap_closedir(DIR *dir) { return 0; }
int __wrap_rename(const char *from, const char *to) { return wrap_file_fail(EACCES); }
