#pragma once

/* otelauto doctor [--json] program [arguments]. returns the exit status: 0 will be seen, 1 in part,
 * 2 not */
int doctor_main(int argc, char **argv);
