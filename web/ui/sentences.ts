// What happened is told by dcalab in English. The table has the same in Portuguese: patterns
// that RE2 reads as well, and what each comes to, where {1} is a group as it is, and {1:task}
// the group by the patterns of "task". A test of Go's holds it in step with what dcalab says.
import table from "./sentences.json";
import { language } from "./words";

const lists = Object.entries(table as unknown as Record<string, [string, string][]>);
const rules = new Map(lists.map(([name, list]) => [name, list.map(([pattern, text]) => ({ pattern: new RegExp(pattern), text }))]));

// translate gives a sentence in Portuguese, or as it is where no pattern knows it.
export function translate(sentence: string, list = "sentence"): string {
  for (const rule of rules.get(list)!) {
    const found = rule.pattern.exec(sentence);
    if (found) return rule.text.replace(/\{(\d)(?::([a-z]+))?\}/g, (_, n, by) => (by ? translate(found[n] ?? "", by) : found[n] ?? ""));
  }
  return sentence;
}

// told is a sentence of dcalab's in the page's language.
export const told = (sentence: string) => (language.value === "pt" ? translate(sentence) : sentence);
// foreign is the language of what told leaves as it is, for who reads it aloud.
export const foreign = (sentence: string) => (language.value === "pt" && translate(sentence) === sentence ? "en" : undefined);
