#pragma once

/* otelauto run [options] -- program [arguments]. Returns only when the program cannot be started:
 * 64 wrong use, 126 not executable, 127 not found. */
int run_main(int argc, char **argv);
