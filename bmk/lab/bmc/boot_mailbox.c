/* The boot initiator mailbox (Get/Set System Boot Options, parameter 7 of IPMI 2.0, table 28-14) for ipmi_sim, which has none.
 * Loaded by its `loadlib`, whose options name the file that holds it: five blocks of 16 bytes. A file of that name and `.stores`
 * holds how many bytes of each write a faulty BMC stores, which says yes to all of them. Other parameters stay ipmi_sim's own. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <OpenIPMI/ipmi_err.h>
#include <OpenIPMI/ipmi_msgbits.h>
#include <OpenIPMI/mcserv.h>
#include <OpenIPMI/msg.h>

enum { MAILBOX = 7, BLOCK = 16, BLOCKS = 5 };

extern cmd_handler_f chassis_netfn_handlers[256];
static cmd_handler_f get_others, set_others;
static char path[4096], limit[sizeof(path) + 8];

static void
complete(unsigned char code, unsigned char *rdata, unsigned int *rdata_len)
{
    rdata[0] = code;
    *rdata_len = 1;
}

static unsigned int
stored(unsigned int wanted)
{
    unsigned int most = BLOCK;
    FILE *file = fopen(limit, "r");

    if (file) {
        if (fscanf(file, "%u", &most) != 1)
            most = BLOCK;
        fclose(file);
    }
    return wanted < most ? wanted : most;
}

static void
set_option(lmc_data_t *mc, msg_t *msg, unsigned char *rdata, unsigned int *rdata_len, void *cb_data)
{
    int file;

    if (msg->len < 1 || (msg->data[0] & 0x7f) != MAILBOX) {
        set_others(mc, msg, rdata, rdata_len, cb_data);
        return;
    }
    if (msg->len < 3 || msg->len > 2 + BLOCK) {
        complete(IPMI_REQUEST_DATA_LENGTH_INVALID_CC, rdata, rdata_len);
        return;
    }
    if (msg->data[1] >= BLOCKS) {
        complete(IPMI_PARAMETER_OUT_OF_RANGE_CC, rdata, rdata_len);
        return;
    }
    file = open(path, O_WRONLY | O_CREAT, 0600);
    if (file < 0 || pwrite(file, msg->data + 2, stored(msg->len - 2), msg->data[1] * BLOCK) < 0)
        complete(IPMI_UNKNOWN_ERR_CC, rdata, rdata_len);
    else
        complete(0, rdata, rdata_len);
    if (file >= 0)
        close(file);
}

static void
get_option(lmc_data_t *mc, msg_t *msg, unsigned char *rdata, unsigned int *rdata_len, void *cb_data)
{
    int file;

    if (msg->len < 3 || (msg->data[0] & 0x7f) != MAILBOX) {
        get_others(mc, msg, rdata, rdata_len, cb_data);
        return;
    }
    if (msg->data[1] >= BLOCKS) {
        complete(IPMI_PARAMETER_OUT_OF_RANGE_CC, rdata, rdata_len);
        return;
    }
    rdata[0] = 0;
    rdata[1] = 1; /* version of the parameter */
    rdata[2] = MAILBOX;
    rdata[3] = msg->data[1];
    memset(rdata + 4, 0, BLOCK);
    *rdata_len = 4 + BLOCK;
    file = open(path, O_RDONLY);
    if (file < 0)
        return; /* nothing was ever written */
    if (pread(file, rdata + 4, BLOCK, msg->data[1] * BLOCK) < 0)
        complete(IPMI_UNKNOWN_ERR_CC, rdata, rdata_len);
    close(file);
}

int
ipmi_sim_module_init(sys_data_t *sys, const char *options)
{
    (void) sys;
    if (!options || strlen(options) >= sizeof(path))
        return 22; /* EINVAL */
    strcpy(path, options);
    snprintf(limit, sizeof(limit), "%s.stores", path);
    get_others = chassis_netfn_handlers[IPMI_GET_SYSTEM_BOOT_OPTIONS_CMD];
    set_others = chassis_netfn_handlers[IPMI_SET_SYSTEM_BOOT_OPTIONS_CMD];
    chassis_netfn_handlers[IPMI_GET_SYSTEM_BOOT_OPTIONS_CMD] = get_option;
    chassis_netfn_handlers[IPMI_SET_SYSTEM_BOOT_OPTIONS_CMD] = set_option;
    return 0;
}
