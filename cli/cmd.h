/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd -- the subcommands of `colmeia`, one cmd_*.c each.
 *
 * Each takes its own arguments (argv[0] is its name), says results on stdout and errors on stderr,
 * and returns the exit status: 0 yes, 1 the answer is no, 2 usage, 3 the environment failed.
 */
#ifndef COLMEIA_CLI_CMD_H
#define COLMEIA_CLI_CMD_H

int cmd_add(int argc, char **argv);
int cmd_aggregate(int argc, char **argv);
int cmd_block(int argc, char **argv);
int cmd_car(int argc, char **argv);
int cmd_car_export(int argc, char **argv);
int cmd_car_import(int argc, char **argv);
int cmd_car_ls(int argc, char **argv);
int cmd_car_verify(int argc, char **argv);
int cmd_cat(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_dag(int argc, char **argv);
int cmd_gateway(int argc, char **argv);
int cmd_gc(int argc, char **argv);
int cmd_get(int argc, char **argv);
int cmd_log(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_model(int argc, char **argv);
int cmd_model_evaluate(int argc, char **argv);
int cmd_model_new(int argc, char **argv);
int cmd_model_show(int argc, char **argv);
int cmd_model_train(int argc, char **argv);
int cmd_name(int argc, char **argv);
int cmd_pin(int argc, char **argv);
int cmd_simulate(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_store(int argc, char **argv);
int cmd_store_repo(int argc, char **argv);
int cmd_verify(int argc, char **argv);

#endif
