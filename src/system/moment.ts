/** Points in time with a date to show and an age that does not change when somebody sets the clock. */
import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';

export interface Moment {
  readonly date: Date;
  /** Seconds between the start of the machine and this moment, time asleep included (CLOCK_BOOTTIME). */
  readonly afterBoot: number;
}

/** Ticks a second in /proc, the same on every Linux architecture that we run on (USER_HZ). */
const TICKS = 100;
/** Index of `starttime` among the fields behind the command name (field 22 of proc_pid_stat(5)). */
const START_TIME = 19;

export function thisMoment(): Moment {
  return { date: new Date(), afterBoot: uptime() };
}

export function secondsSince({ afterBoot }: Moment): number {
  return uptime() - afterBoot;
}

/** When a process was started. Undefined when there is no such process, or it is not known (0). */
export function processStart(pid: number): Moment | undefined {
  if (pid <= 0) return undefined;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const afterBoot = Number(fields[START_TIME]) / TICKS;
    if (Number.isNaN(afterBoot)) return undefined;
    return { date: new Date(Date.now() - (uptime() - afterBoot) * 1000), afterBoot };
  } catch {
    return undefined;
  }
}
