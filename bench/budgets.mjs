// What the rows of `make bench` promise, figure by figure. The machine meant has four cores and a disk that
// syncs in about a millisecond.
export const budgets = {
  runs_3_steps_stream: { per_second: ['>=', 10000] },
  stream_latency: { p50_us: ['<=', 1500] },
  runs_3_steps_raw: { per_second: ['>=', 10000] },
  raw_latency: { p50_us: ['<=', 1500] },
  push: { per_second: ['>=', 5000] },
  recording: { added_percent: ['<=', 20] },
  sleepers: { asleep_cpu_percent: ['<', 0.5], asleep_bytes_per_run: ['<', 64], late_max_ms: ['<=', 50] },
  lanes: { added_percent: ['<', 10] },
  wakes: { answer_ms: ['<=', 10], all_awake_s: ['<=', 30], others_p99_ms: ['<', 10] },
  wakes_served: { answer_ms: ['<=', 10], all_ended_s: ['<=', 30], others_p99_ms: ['<', 10] },
  idle_polls: { rss_mib: ['<', 200] },
  idle_streams: { rss_mib: ['<', 200] },
  match: { added_us: ['<', 20], match_us: ['<', 20] },
  slots: { start_p50_ms: ['<', 10] },
};
