"""ASC, the AI Song Checker: a job made from a link, then an unsigned callback or a poll; or an analysis at once.

Document: https://aisongchecker.pro/api-docs (v1.0, March 2026). It leaves the poll's body, the job's states and
most action names open, so the names are settings and bodies are read leniently; what is not known never ends a
run and never becomes a verdict. A guide on the same site describes another API (paths, bearer keys); it is not
followed.

`adapter` talks; `results` reads what an analysis says; `account` and `certificates` are what ASC offers beside, and
`client` is how all of them ask.
"""

from service.detectors.exchange import Exchange
from service.detectors.vendor import Vendor
from service.vendors.asc.adapter import Asc
from service.vendors.asc.client import AscConfig
from service.vendors.asc.settings import AscSettings

__all__ = ["VENDOR", "Asc", "AscConfig", "AscSettings"]


def _adapter(settings: AscSettings, exchange: Exchange) -> Asc:
    config = AscConfig(
        base_url=settings.base_url,
        api_key=settings.secret,
        job_url=settings.job_url,
        submit_action=settings.submit_action,
        job_action=settings.job_action,
        sync_action=settings.sync_action,
        sync_input=settings.sync_input,
        include_features=settings.include_features,
        status_action=settings.status_action,
        usage_action=settings.usage_action,
        quota_action=settings.quota_action,
        certificate_action=settings.certificate_action,
        verify_action=settings.verify_action,
        webhook_action=settings.webhook_action,
        analysis_id_from=settings.analysis_id_from,
        usage_detailed=settings.usage_detailed,
        max_megabytes=settings.max_megabytes,
    )
    return Asc(config, exchange)


VENDOR = Vendor("asc", AscSettings, _adapter, account_callbacks=True)
