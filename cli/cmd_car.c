/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd.h"
#include "cli/group.h"

int cmd_car(int argc, char **argv)
{
    static const struct group_row rows[] = {
        {"export", cmd_car_export, "write all that a CID reaches as a CAR"},
        {"import", cmd_car_import, "take a CAR's blocks into a store and pin its roots"},
        {"ls", cmd_car_ls, "the blocks of a CAR"},
        {"verify", cmd_car_verify, "hash a CAR's blocks and say what its roots reach and it lacks"},
    };
    return group_run("colmeia car", rows, sizeof rows / sizeof rows[0], argc, argv);
}
