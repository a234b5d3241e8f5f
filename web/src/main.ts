// The pages work without script; these islands make them quicker to use. No framework, no other host.
import { keys } from "./keys";
import { plots } from "./plots";
import { runs } from "./runs";
import { swaps } from "./swaps";

const picks = runs();
keys(picks);
swaps();
plots();
