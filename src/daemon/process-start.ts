/** When a process was started, from /proc/PID/stat. */
import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';

/** Ticks a second in /proc, the same on every Linux architecture that we run on (USER_HZ). */
const TICKS = 100;
/** Index of `starttime` among the fields behind the command name (field 22 of proc_pid_stat(5)). */
const START_TIME = 19;

/** Undefined when there is no such process, or it is not known (0). */
export function processStart(pid: number): Date | undefined {
  if (pid <= 0) return undefined;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const secondsAfterBoot = Number(fields[START_TIME]) / TICKS;
    const date = new Date(Date.now() - (uptime() - secondsAfterBoot) * 1000);
    return Number.isNaN(date.getTime()) ? undefined : date;
  } catch {
    return undefined;
  }
}
