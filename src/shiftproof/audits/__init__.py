"""Audits: one model, any images, named shifts → numbers with intervals, gates and comparisons."""

from shiftproof.audits._audit import Audit as Audit
from shiftproof.audits._audit import audit as audit
from shiftproof.audits._audit import load_audit as load_audit
from shiftproof.audits._audit import run_audit as run_audit
from shiftproof.audits._compare import compare_audits as compare_audits
from shiftproof.audits._gates import check_gates as check_gates
from shiftproof.audits._measure import AuditProgress as AuditProgress
from shiftproof.audits._measure import images_per_shard as images_per_shard
from shiftproof.audits._plan import plan as plan
from shiftproof.audits._question import DEFAULT_PROTOCOL as DEFAULT_PROTOCOL
from shiftproof.audits._question import AuditOptions as AuditOptions
from shiftproof.audits._question import AuditQuestion as AuditQuestion
from shiftproof.audits._question import ask as ask
from shiftproof.data import ImagesLike as ImagesLike
