/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/gateway/stats.h"

#include "common/metrics/metrics.h"

#define COUNTER(name_, labels_, help_) {.name = "bivouac_gateway_" name_, .labels = labels_, .help = help_, .kind = METRIC_COUNTER}
#define GAUGE(name_, help_) {.name = "bivouac_gateway_" name_, .help = help_, .kind = METRIC_GAUGE}
#define HISTOGRAM(name_, help_) {.name = "bivouac_gateway_" name_, .help = help_, .kind = METRIC_HISTOGRAM}

static struct metric requests[] = {
    COUNTER("requests_total", "class=\"1xx\"", "Requests that were answered, by status class"),
    COUNTER("requests_total", "class=\"2xx\"", "Requests that were answered, by status class"),
    COUNTER("requests_total", "class=\"3xx\"", "Requests that were answered, by status class"),
    COUNTER("requests_total", "class=\"4xx\"", "Requests that were answered, by status class"),
    COUNTER("requests_total", "class=\"5xx\"", "Requests that were answered, by status class"),
};
static struct metric request_us = HISTOGRAM("request_seconds", "Time from a request's head to the end of its answer");
static struct metric start_us = HISTOGRAM("process_start_seconds", "Time from a client's start message to the agent's answer");
static struct metric append_us = HISTOGRAM("store_append_seconds", "Time from sending a batch of frames to the store's answer");
static struct metric frames_stored = COUNTER("frames_stored_total", NULL, "Process frames that the store has confirmed");
static struct metric frames_lost = COUNTER("frames_lost_total", NULL, "Process frames that the store lost and the agent did not keep");
static struct metric frames_sent = COUNTER("frames_sent_total", NULL, "Process frames that were sent to clients");
static struct metric bytes_sent = COUNTER("frame_bytes_sent_total", NULL, "Bytes of messages with process frames that were sent to clients");
static struct metric store_refused = COUNTER("store_refused_total", NULL, "Batches that the store refused and that are tried again");
static struct metric links_broken = COUNTER("agent_rule_breaks_total", NULL, "Agent links that were cut because the agent broke a rule");
static struct metric redis_up = GAUGE("redis_up", "1 when Redis is connected");
static struct metric gate_up = GAUGE("gate_up", "1 when vmhost has told its routes and is connected");
static struct metric routes = GAUGE("routes", "Sandboxes that are routed to");
static struct metric links = GAUGE("agent_links", "Agent links that are up");
static struct metric streams = GAUGE("streams", "Processes that are followed in memory");
static struct metric sessions = GAUGE("sessions", "Process WebSockets");
static struct metric connections = GAUGE("connections", "Client connections");
static struct metric pending = GAUGE("pending_bytes", "Bytes of frames that were read from agents and are not stored yet");

void stats_register(void)
{
    struct metric *all[] = {&request_us, &start_us, &append_us, &frames_stored, &frames_lost, &frames_sent, &bytes_sent, &store_refused,
                            &links_broken, &redis_up, &gate_up, &routes, &links, &streams, &sessions, &connections, &pending};

    for (unsigned i = 0; i < ARRAY_LEN(requests); i++)
        metrics_register(&requests[i]);
    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        metrics_register(all[i]);
}

void stats_request(int status, uint64_t us)
{
    int class = status / 100;

    if (class >= 1 && class <= 5)
        metric_add(&requests[class - 1], 1);
    metric_observe_us(&request_us, us);
}

void stats_process_start(uint64_t us)
{
    metric_observe_us(&start_us, us);
}

void stats_store_append(uint64_t us)
{
    metric_observe_us(&append_us, us);
}

void stats_frames_stored(unsigned n)
{
    metric_add(&frames_stored, n);
}

void stats_frames_lost(uint64_t n)
{
    metric_add(&frames_lost, (int64_t) (n < INT32_MAX ? n : INT32_MAX));
}

void stats_frames_sent(unsigned n, uint64_t bytes)
{
    metric_add(&frames_sent, n);
    metric_add(&bytes_sent, (int64_t) bytes);
}

void stats_store_refused(void)
{
    metric_add(&store_refused, 1);
}

void stats_link_broken(void)
{
    metric_add(&links_broken, 1);
}

void stats_levels(const struct stats_levels *l)
{
    metric_set(&redis_up, l->redis_up);
    metric_set(&gate_up, l->gate_up);
    metric_set(&routes, l->routes);
    metric_set(&links, l->links);
    metric_set(&streams, l->streams);
    metric_set(&sessions, l->sessions);
    metric_set(&connections, l->connections);
    metric_set(&pending, (int64_t) l->pending_bytes);
}
