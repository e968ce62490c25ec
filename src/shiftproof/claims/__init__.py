"""The article's claims: experiments beyond its table, and a verdict on each."""

from shiftproof.claims._presets import ClaimsPreset as ClaimsPreset
from shiftproof.claims._presets import load_preset as load_preset
from shiftproof.claims._run import ClaimsResult as ClaimsResult
from shiftproof.claims._run import run_claims as run_claims
from shiftproof.claims._verdict import CLAIMS as CLAIMS
from shiftproof.claims._verdict import ClaimVerdict as ClaimVerdict
