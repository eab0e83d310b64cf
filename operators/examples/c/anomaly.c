// Lets those numbers of a stream through that lie far from the mean of all before them.
//
// A datum is one number, as text or as JSON. The mean and the spread are kept by Welford's method, so that the state is
// three numbers, regardless of the number of records.

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operator.h"

enum { STATE_VERSION = 1, NUMBER_BYTES_MAX = 63 };

static const char CONFIG_SCHEMA[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"deviations\":{\"type\":\"number\",\"exclusiveMinimum\":0,\"default\":3,"
    "\"description\":\"How many standard deviations from the mean are far.\"},"
    "\"warm_up\":{\"type\":\"number\",\"minimum\":2,\"default\":10,"
    "\"description\":\"So many numbers are only learnt from.\"}}}";

static struct { double deviations, warm_up; } settings;
static struct { double count, mean, squares; } seen; // squares: of the distances from the mean, summed

// Text that is made here and freed by the generated code once the host has read it. It has to be UTF-8, which what is quoted
// from outside may not be, or not any more where it was cut.
static operator_string_t text(const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    for (char *byte = line; *byte != '\0'; byte++)
        if (*byte & 0x80)
            *byte = '?';
    operator_string_t made;
    operator_string_dup(&made, line);
    return made;
}

// A number and nothing else; what is not finite is none.
static bool number(const uint8_t *bytes, size_t len, double *value) {
    char copy[NUMBER_BYTES_MAX + 1];
    if (len == 0 || len > NUMBER_BYTES_MAX || strchr("+-.0123456789", bytes[0]) == NULL || memchr(bytes, 'x', len) != NULL ||
        memchr(bytes, 'X', len) != NULL)
        return false;
    memcpy(copy, bytes, len);
    copy[len] = '\0';
    char *end;
    *value = strtod(copy, &end);
    return end == copy + len && isfinite(*value);
}

// ---- the configuration: an object of numbers

static size_t spaces(operator_string_t json, size_t at) {
    while (at < json.len && strchr(" \t\r\n", json.ptr[at]) != NULL)
        at++;
    return at;
}

static bool setting(const uint8_t *name, size_t len, double value, operator_string_t *refusal) {
    if (len == strlen("deviations") && memcmp(name, "deviations", len) == 0) {
        settings.deviations = value;
        if (value > 0)
            return true;
        *refusal = text("`deviations` must be more than 0");
    } else if (len == strlen("warm_up") && memcmp(name, "warm_up", len) == 0) {
        settings.warm_up = value;
        if (value >= 2)
            return true;
        *refusal = text("`warm_up` must be at least 2");
    } else {
        *refusal = text("`%.*s` is no setting; there are `deviations` and `warm_up`", (int)(len > 64 ? 64 : len), name);
    }
    return false;
}

static bool configure(operator_string_t json, operator_string_t *refusal) {
    settings.deviations = 3;
    settings.warm_up = 10;
    size_t at = spaces(json, 0);
    if (at == json.len || json.ptr[at] != '{')
        goto malformed;
    at = spaces(json, at + 1);
    if (at < json.len && json.ptr[at] == '}')
        return true;
    while (at < json.len && json.ptr[at] == '"') {
        size_t name = ++at;
        while (at < json.len && json.ptr[at] != '"')
            at++;
        size_t name_len = at - name;
        at = spaces(json, at + 1);
        if (at >= json.len || json.ptr[at] != ':')
            break;
        at = spaces(json, at + 1);
        size_t from = at;
        while (at < json.len && strchr(",} \t\r\n", json.ptr[at]) == NULL)
            at++;
        double value;
        if (!number(json.ptr + from, at - from, &value)) {
            *refusal = text("`%.*s` must be a number", (int)(name_len > 64 ? 64 : name_len), json.ptr + name);
            return false;
        }
        if (!setting(json.ptr + name, name_len, value, refusal))
            return false;
        at = spaces(json, at);
        if (at < json.len && json.ptr[at] == '}')
            return true;
        if (at >= json.len || json.ptr[at] != ',')
            break;
        at = spaces(json, at + 1);
    }
malformed:
    *refusal = text("the configuration must be an object of numbers");
    return false;
}

// ---- output: records in sequence, each after its length as four bytes, big-endian

typedef struct { uint8_t *bytes; size_t len, room; } buffer_t;

static void *enough(void *bytes, size_t len) {
    bytes = realloc(bytes, len);
    // The host says then that the operator trapped, and where.
    if (bytes == NULL)
        abort();
    return bytes;
}

static void push(buffer_t *out, const char *datum, size_t len) {
    if (out->room - out->len < len + 4) {
        out->room = 2 * out->room + len + 4;
        out->bytes = enough(out->bytes, out->room);
    }
    uint8_t *to = out->bytes + out->len;
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(len >> (24 - 8 * i));
    memcpy(to + 4, datum, len);
    out->len += 4 + len;
}

// Whether a number is far from those before it; learns from it either way, so that a new level becomes the usual one.
static void learn(double value, buffer_t *out) {
    double spread = sqrt(seen.squares / (seen.count - 1)), distance = value - seen.mean;
    if (seen.count >= settings.warm_up && fabs(distance) > settings.deviations * spread) {
        char datum[160];
        int len = snprintf(datum, sizeof datum, "{\"value\":%.10g,\"number\":%.0f,\"mean\":%.10g,\"deviation\":%.10g}", value,
                           seen.count + 1, seen.mean, spread);
        push(out, datum, (size_t)len);
    }
    seen.count++;
    seen.mean += distance / seen.count;
    seen.squares += distance * (value - seen.mean);
}

// ---- the interface

static void port(operator_list_string_t *list, const char *name) {
    list->len = 1;
    list->ptr = enough(NULL, sizeof *list->ptr);
    operator_string_dup(list->ptr, name);
}

void exports_operator_describe(operator_description_t *ret) {
    port(&ret->inputs, "in");
    port(&ret->outputs, "out");
    operator_string_dup(&ret->config_schema, CONFIG_SCHEMA);
    ret->state_version = STATE_VERSION;
}

bool exports_operator_open(operator_string_t *config, operator_list_binding_t *inputs, operator_list_binding_t *outputs,
                           operator_string_t *err) {
    bool fine = configure(*config, err);
    operator_string_free(config);
    operator_list_binding_free(inputs);
    operator_list_binding_free(outputs);
    return fine;
}

bool exports_operator_process(uint32_t port, operator_frames_t *batch, operator_processed_t *ret, operator_string_t *err) {
    (void)port;
    (void)err;
    buffer_t out = {0};
    memset(ret, 0, sizeof *ret);
    size_t rejected_room = 0;
    uint32_t index = 0;
    // The host passes whole records.
    for (size_t at = 0; at < batch->len; index++) {
        const uint8_t *head = batch->ptr + at, *datum = head + 4;
        size_t len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        double value;
        if (number(datum, len, &value)) {
            learn(value, &out);
        } else {
            if (ret->rejected.len == rejected_room) {
                rejected_room = 2 * rejected_room + 4;
                ret->rejected.ptr = enough(ret->rejected.ptr, rejected_room * sizeof *ret->rejected.ptr);
            }
            mosaik_operator_types_rejected_t *rejected = &ret->rejected.ptr[ret->rejected.len++];
            rejected->index = index;
            rejected->reason = text("`%.*s` is not a number", (int)(len > 32 ? 32 : len), datum);
        }
        at += 4 + len;
    }
    operator_frames_free(batch);
    if (out.len > 0) {
        ret->outputs.len = 1;
        ret->outputs.ptr = enough(NULL, sizeof *ret->outputs.ptr);
        ret->outputs.ptr->port = 0;
        ret->outputs.ptr->frames.ptr = out.bytes;
        ret->outputs.ptr->frames.len = out.len;
    }
    return true;
}

// Nothing is held back, so there is never more to say.
static bool nothing(operator_processed_t *ret) {
    memset(ret, 0, sizeof *ret);
    return true;
}

bool exports_operator_resume(operator_processed_t *ret, operator_string_t *err) {
    (void)err;
    return nothing(ret);
}

bool exports_operator_tick(operator_processed_t *ret, operator_string_t *err) {
    (void)err;
    return nothing(ret);
}

bool exports_operator_finish(uint32_t port, operator_processed_t *ret, operator_string_t *err) {
    (void)port;
    (void)err;
    return nothing(ret);
}

bool exports_operator_snapshot(operator_state_t *ret, operator_string_t *err) {
    (void)err;
    ret->version = STATE_VERSION;
    ret->entries.len = 1;
    ret->entries.ptr = enough(NULL, sizeof *ret->entries.ptr);
    ret->entries.ptr->key.is_some = false;
    operator_string_t value = text("%.17g %.17g %.17g", seen.count, seen.mean, seen.squares);
    ret->entries.ptr->value.ptr = value.ptr;
    ret->entries.ptr->value.len = value.len;
    return true;
}

bool exports_operator_restore(operator_state_t *saved, operator_string_t *err) {
    char copy[128];
    bool fine = false;
    if (saved->version != STATE_VERSION) {
        *err = text("a state of version %u, this is %d", (unsigned)saved->version, STATE_VERSION);
    } else if (saved->entries.len != 1 || saved->entries.ptr->value.len >= sizeof copy) {
        *err = text("not a state of this operator");
    } else {
        operator_list_u8_t value = saved->entries.ptr->value;
        memcpy(copy, value.ptr, value.len);
        copy[value.len] = '\0';
        fine = sscanf(copy, "%lf %lf %lf", &seen.count, &seen.mean, &seen.squares) == 3;
        if (!fine)
            *err = text("not a state of this operator");
    }
    operator_state_free(saved);
    return fine;
}
