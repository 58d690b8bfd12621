#include "scripts/doctor/locate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INTERPRETERS_MAX 4 /* the kernel's own limit */
#define LINE_MAX_LEN     512

const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static enum locate_result check_file(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return LOCATE_NOT_FOUND;
	return access(path, X_OK) == 0 ? LOCATE_OK : LOCATE_NOT_EXECUTABLE;
}

static enum locate_result look_in_path(const char *name, char *ret)
{
	const char *dirs = getenv("PATH");
	char candidate[PATH_MAX];

	for (dirs = dirs && *dirs ? dirs : "/usr/local/bin:/usr/bin:/bin"; dirs;) {
		size_t len = strcspn(dirs, ":");
		int n = snprintf(candidate, sizeof(candidate), "%.*s/%s", len ? (int)len : 1,
				 len ? dirs : ".", name);

		if (n > 0 && n < PATH_MAX && check_file(candidate) == LOCATE_OK)
			return realpath(candidate, ret) ? LOCATE_OK : LOCATE_NOT_FOUND;
		dirs = dirs[len] ? dirs + len + 1 : NULL;
	}
	return LOCATE_NOT_FOUND;
}

static enum locate_result find_file(const char *command, char *ret)
{
	enum locate_result result;

	if (!strchr(command, '/'))
		return look_in_path(command, ret);
	result = check_file(command);
	if (result == LOCATE_OK && !realpath(command, ret))
		result = LOCATE_NOT_FOUND;
	return result;
}

/* The first line behind #!, or false when there is none. */
static bool read_first_line(const char *path, char *line, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, line, cap - 1) : -1;

	if (fd >= 0)
		close(fd);
	if (n < 2 || line[0] != '#' || line[1] != '!')
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	memmove(line, line + 2, strlen(line + 2) + 1);
	return true;
}

/* The command that a #! line runs in the end: env(1) looks its argument up in PATH. */
static const char *interpreter_of(char *line)
{
	char *rest = NULL, *word = strtok_r(line, " \t", &rest);

	if (!word || strcmp(base_name(word), "env") != 0)
		return word;
	do {
		word = strtok_r(NULL, " \t", &rest);
	} while (word && (*word == '-' || strchr(word, '=')));
	return word;
}

static bool is_shell(const char *path)
{
	static const char *const names[] = {
		"sh", "dash", "bash", "ksh", "zsh", "busybox", "mksh"
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(base_name(path), names[i]))
			return true;
	return false;
}

enum locate_result program_locate(const char *command, struct program *ret)
{
	enum locate_result result = find_file(command, ret->path);
	char line[LINE_MAX_LEN];

	ret->script[0] = '\0';
	ret->shell_hint = NULL;
	for (int i = 0; result == LOCATE_OK && i < INTERPRETERS_MAX; i++) {
		const char *interpreter;

		if (!read_first_line(ret->path, line, sizeof(line)))
			break;
		if (!ret->script[0])
			strcpy(ret->script, ret->path);
		interpreter = interpreter_of(line);
		if (!interpreter || find_file(interpreter, ret->path) != LOCATE_OK)
			return LOCATE_NO_INTERPRETER;
	}
	if (result == LOCATE_OK && ret->script[0] && is_shell(ret->path))
		ret->shell_hint = "a shell script: the programs it starts inherit the preload, "
				  "ask about the one that serves";
	return result;
}
