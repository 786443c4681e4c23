// All words of the page's own, in each language. What happened is worded by dcalab.
import { computed } from "@preact/signals";
import { chosen, recorded, shownAt } from "./store";

const en = {
  live: "live", lost: "connection lost, trying again", opening: "connecting",
  refused: "dcalab serve has a new link now: open the one that it has printed",
  term: "term", leader: "leader", forTime: "for", noLeader: "no leader", electing: "electing", since: "for",
  quorum: "quorum", majority: "majority", tolerates: "tolerates", failures: "more failures", quorumLost: "quorum lost",
  managers: "managers", workers: "workers and tasks", faults: "faults", news: "what happened", timeline: "time line", table: "table", picture: "picture",
  beliefs: "what managers believe", believes: "leader", knowsNone: "knows no leader", noAnswer: "no answer for", inTerm: "term",
  voted: "voted", nobody: "nobody", commit: "commit", lastEntry: "last entry", behind: "behind", node: "node", role: "role", machine: "machine",
  engine: "engine", state: "state", availability: "availability", task: "task", service: "service", tasks: "tasks", wanted: "wanted", message: "message",
  candidate: "candidate", follower: "follower", manager: "manager", worker: "worker", halted: "halted", absent: "not made", hangs: "engine hangs", down: "engine is down", boots: "starts", locked: "locked", autolock: "autolock on", certificate: "certificate", goodUntil: "until", ranOut: "ran out", day: "day", days: "days", rotating: "the root CA is being replaced",
  ports: "published ports", answers: "answers on", everyNode: "every node", nowhere: "answers nowhere now",
  heals: "heals in", healing: "heals now", untilHealed: "until it is healed", noFaults: "none: dcalab break makes some",
  noTasks: "no tasks", noNode: "on no node yet", at: "at", ago: "ago", backToLive: "back to live", drag: "drag to look back",
  lanes: { faults: "faults", terms: "terms", tasks: "tasks", machines: "machines", steps: "dcalab" } as Record<string, string>,
  noLab: "This lab does not exist yet.", noLabNext: "Make it, with its swarm, and it appears here:",
  noSwarm: "The machines are there, and form no swarm.", noSwarmNext: "This makes the managers and workers of labs.yaml one swarm:",
  observed: "what came of it", report: "report",
  oneManager: "One manager: when it fails, nothing can be changed until it is back. With three, one may fail.",
  commands: "to type in a terminal", close: "close", keys: "keys", from: "from", to: "to", until: "until", nothing: "nothing happened yet", cut: "cut", oneWay: "one way", bothWays: "both ways", ways: "ways between managers", hears: "hears", deaf: "does not hear",
  space: "Space, l", keyList: { t: "table or picture", "← →": "look back, a second (with Shift ten)", ":": "type a command", P: "large, for a class", d: "light or dark", g: "English or Portuguese", Esc: "close", "?": "these keys" } as Record<string, string>,
  explain: {
    leader: "It has won the newest election: every change of the swarm goes through it.",
    follower: "It stores what the leader sends, and votes when there is none.",
    candidate: "It has not heard of a leader for an election timeout, and asks the others for their votes.",
    silent: "Its engine does not answer; what is shown is what was known of it last.",
    locked: "It was started again, and waits for the unlock key: until then it takes part in nothing.",
    autolock: "What managers keep on disk is encrypted with a key that they do not keep: one that is started again waits until somebody unlocks it.",
    rotating: "Every node gets a certificate of the new root CA, one after the other.",
    certificate: "With it a node proves to the others who it is. An engine that runs renews it in time; one that is off for longer comes back without its swarm.",
    halted: "Its machine has no power; its disk is kept.",
    worker: "It runs tasks that managers give it, and takes no part in raft.",
    term: "Terms count elections: each has one leader at most.",
    vote: "A manager votes once in a term, for the first candidate whose log is not behind its own.",
    commit: "Entries up to here are on a majority of the managers, and will not be lost.",
    last: "The newest entry of its log; those after the commit may still be lost.",
    behind: "How many entries the longest log has more.",
  },
  act: {
    would: "what it would do", refused: "it cannot be done", nothing: "nothing: it is so already", plain: "the plain commands for the same", asks: "are you sure?", done: "done", failed: "it did not succeed",
    busy: "working", run: "do it", yes: "yes, do it", palette: "a command", look: "look what it does", why: "why?", whyNode: "why tasks are here, or not", looks: "This tab only looks. To act, open the link of dcalab serve in it.", heal: "heal",
  },
  terminal: {
    title: "terminals", open: "terminal", end: "end this terminal", leave: "leave it", reader: "screen reader", here: "show it here", height: "height of the terminals",
    ended: "It has ended.", elsewhere: "Another tab shows it.", away: "No connection; trying again.",
  },
  past: { live: "the end of the recording", opening: "nothing is known of it then", ago: "before the end", backToLive: "to the end", drag: "drag to see everything as it was", noFaults: "none" },
  states: { running: "running", starting: "starting", pending: "pending", failed: "failed", shutdown: "shut down", complete: "complete" } as Record<string, string>,
};

const pt: typeof en = {
  live: "ao vivo", lost: "conexão perdida, tentando de novo", opening: "conectando",
  refused: "o dcalab serve tem um link novo: abra o que ele imprimiu",
  term: "termo", leader: "líder", forTime: "há", noLeader: "sem líder", electing: "em eleição", since: "há",
  quorum: "quórum", majority: "maioria", tolerates: "tolera", failures: "falhas a mais", quorumLost: "quórum perdido",
  managers: "managers", workers: "workers e tasks", faults: "falhas", news: "o que aconteceu", timeline: "linha do tempo", table: "tabela", picture: "imagem",
  beliefs: "em que os managers acreditam", believes: "líder", knowsNone: "não conhece líder", noAnswer: "sem resposta há", inTerm: "termo",
  voted: "votou em", nobody: "ninguém", commit: "commit", lastEntry: "última entrada", behind: "atraso", node: "nó", role: "papel", machine: "máquina",
  engine: "engine", state: "estado", availability: "disponibilidade", task: "task", service: "serviço", tasks: "tasks", wanted: "desejado", message: "mensagem",
  candidate: "candidato", follower: "seguidor", manager: "manager", worker: "worker", halted: "desligado", absent: "não criado", hangs: "engine travado", down: "engine parado", boots: "iniciando", locked: "bloqueado", autolock: "autolock ligado", certificate: "certificado", goodUntil: "até", ranOut: "venceu em", day: "dia", days: "dias", rotating: "a CA raiz está sendo trocada",
  ports: "portas publicadas", answers: "responde em", everyNode: "todos os nós", nowhere: "não responde em lugar nenhum agora",
  heals: "desfaz-se em", healing: "desfazendo-se", untilHealed: "até ser desfeita", noFaults: "nenhuma: dcalab break cria algumas",
  noTasks: "sem tasks", noNode: "ainda em nenhum nó", at: "às", ago: "atrás", backToLive: "voltar ao vivo", drag: "arraste para voltar no tempo",
  lanes: { faults: "falhas", terms: "termos", tasks: "tasks", machines: "máquinas", steps: "dcalab" },
  noLab: "Este laboratório ainda não existe.", noLabNext: "Crie-o com o swarm, e ele aparece aqui:",
  noSwarm: "As máquinas existem, mas não formam um swarm.", noSwarmNext: "Isto faz dos managers e workers do labs.yaml um swarm:",
  observed: "o que resultou", report: "relatório",
  oneManager: "Um manager só: se ele falha, nada pode ser alterado até que volte. Com três, um pode falhar.",
  commands: "para digitar num terminal", close: "fechar", keys: "teclas", from: "de", to: "para", until: "até", nothing: "nada aconteceu ainda", cut: "cortado", oneWay: "um sentido", bothWays: "os dois sentidos", ways: "caminhos entre managers", hears: "ouve", deaf: "não ouve",
  space: "Espaço, l", keyList: { t: "tabela ou imagem", "← →": "voltar um segundo (com Shift, dez)", ":": "digitar um comando", P: "grande, para uma turma", d: "claro ou escuro", g: "inglês ou português", Esc: "fechar", "?": "estas teclas" },
  explain: {
    leader: "Venceu a eleição mais recente: toda alteração do swarm passa por ele.",
    follower: "Guarda o que o líder envia, e vota quando não há líder.",
    candidate: "Não ouviu de um líder durante o tempo de eleição, e pede votos aos outros.",
    silent: "O engine não responde; o que se vê é o que se soube por último.",
    locked: "Foi reiniciado, e espera a chave de desbloqueio: até lá não participa de nada.",
    autolock: "O que os managers guardam no disco é cifrado com uma chave que eles não guardam: um que reinicia espera até que alguém o desbloqueie.",
    rotating: "Cada nó recebe um certificado da nova CA raiz, um após o outro.",
    certificate: "Com ele um nó prova aos outros quem é. Um engine em execução o renova a tempo; um que fica mais tempo desligado volta sem o seu swarm.",
    halted: "A máquina está sem energia; o disco é mantido.",
    worker: "Executa as tasks que os managers lhe dão, e não participa do raft.",
    term: "Termos contam eleições: cada um tem no máximo um líder.",
    vote: "Um manager vota uma vez por termo, no primeiro candidato cujo log não está atrás do seu.",
    commit: "Entradas até aqui estão na maioria dos managers, e não se perdem.",
    last: "A entrada mais nova do log; as posteriores ao commit ainda podem se perder.",
    behind: "Quantas entradas o log mais longo tem a mais.",
  },
  act: {
    would: "o que faria", refused: "não pode ser feito", nothing: "nada: já está assim", plain: "os comandos simples para o mesmo", asks: "tem certeza?", done: "feito", failed: "não deu certo",
    busy: "trabalhando", run: "executar", yes: "sim, executar", palette: "um comando", look: "ver o que faz", why: "por quê?", whyNode: "por que há tasks aqui, ou não", looks: "Esta aba só olha. Para agir, abra nela o link do dcalab serve.", heal: "desfazer",
  },
  terminal: {
    title: "terminais", open: "terminal", end: "encerrar este terminal", leave: "sair dele", reader: "leitor de tela", here: "mostrar aqui", height: "altura dos terminais",
    ended: "Encerrado.", elsewhere: "Outra aba o mostra.", away: "Sem conexão; tentando de novo.",
  },
  past: { live: "o fim da gravação", opening: "nada se sabe desse momento", ago: "antes do fim", backToLive: "ir para o fim", drag: "arraste para ver tudo como era", noFaults: "nenhuma" },
  states: { running: "em execução", starting: "iniciando", pending: "pendente", failed: "falhou", shutdown: "encerrada", complete: "concluída" },
};

export const language = computed(() => chosen.value.lang ?? (navigator.language.toLowerCase().startsWith("pt") ? "pt" : "en"));
export const words = computed(() => {
  const w = language.value === "pt" ? pt : en;
  return recorded ? { ...w, ...w.past } : w;
});

// duration reads "41 s", "2:10", "1:02:10".
export function duration(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 100) return s + " s";
  const two = (n: number) => String(n).padStart(2, "0");
  const h = Math.floor(s / 3600);
  return (h ? h + ":" + two(Math.floor(s / 60) % 60) : String(Math.floor(s / 60))) + ":" + two(s % 60);
}
const locale = () => (language.value === "pt" ? "pt-BR" : "en-GB");
export const date = (at: number) => new Date(at).toLocaleDateString(locale());
// validity reads "until 25/02/2027, 90 days".
export function validity(until: string): string {
  const w = words.value, end = Date.parse(until), days = Math.round((end - shownAt.value) / 86_400_000); // as dcalab status counts them
  return end <= shownAt.value ? `${w.ranOut} ${date(end)}` : `${w.goodUntil} ${date(end)}, ${days} ${days === 1 ? w.day : w.days}`;
}
export const time = (at: number | string) => new Date(at).toLocaleTimeString(locale());
