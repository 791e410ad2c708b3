/** What a check of `sockswitch doctor` says. */

/** `problem`: acceleration does not work; `warning`: it may not, or less well; `note`: worth knowing. */
export type Severity = 'ok' | 'note' | 'warning' | 'problem';

export interface Finding {
  /** Stable, for scripts: "kernel.addfd". */
  readonly id: string;
  readonly severity: Severity;
  /** One sentence, with the value that was found. */
  readonly message: string;
  /** What to do; there is one for each warning and problem. */
  readonly remedy?: string;
}

export const ok = (id: string, message: string): Finding => ({ id, severity: 'ok', message });
export const note = (id: string, message: string): Finding => ({ id, severity: 'note', message });
export const warning = (id: string, message: string, remedy: string): Finding => ({
  id,
  severity: 'warning',
  message,
  remedy,
});
export const problem = (id: string, message: string, remedy: string): Finding => ({
  id,
  severity: 'problem',
  message,
  remedy,
});
