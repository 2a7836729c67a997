"""Error texts in the caller's language. The engine speaks English; edges translate what they tell, by one table.

A text that is not in the table, such as one that names a field or a number, stays English, and `code` is the same in
every language."""

from __future__ import annotations

import re
from typing import Final

from engine.errors import EngineError

ENGLISH: Final = "en"
LANGUAGES: Final = ("zh-hans", "zh-hant")  # the columns of the table
_TRADITIONAL: Final = frozenset({"hant", "tw", "hk", "mo"})
_RANGE: Final = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,3})\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?))?\s*\Z")
_LONGEST_HEADER: Final = 1_000  # characters that are read

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "The request could not be served.": ("无法处理该请求。", "無法處理該請求。"),
    "The request is not valid.": ("请求无效。", "請求無效。"),
    "The request is larger than allowed.": ("请求超过允许的大小。", "請求超過允許的大小。"),
    "You belong to several tenants; say which.": (
        "您属于多个租户，请指明是哪一个。",
        "您屬於多個租戶，請指明是哪一個。",
    ),
    "A code of your second factor is needed.": ("需要您的第二重验证码。", "需要您的第二重驗證碼。"),
    "Too many failed attempts.": ("失败次数过多。", "失敗次數過多。"),
    "The conversation is longer than the context window of the model.": (
        "对话长度超过了模型的上下文窗口。",
        "對話長度超過了模型的上下文視窗。",
    ),
    "This is not supported.": ("不支持此功能。", "不支援此功能。"),
    "The model's service does not accept this request.": ("模型服务不接受该请求。", "模型服務不接受該請求。"),
    "The request contains content that is not allowed.": ("请求包含不允许的内容。", "請求包含不允許的內容。"),
    "A valid API key or token is required.": ("需要有效的 API 密钥或令牌。", "需要有效的 API 金鑰或權杖。"),
    "This credential does not allow the request.": ("该凭据无权执行此请求。", "該憑證無權執行此請求。"),
    "Requests from this address are not allowed.": ("不允许来自该地址的请求。", "不允許來自該位址的請求。"),
    "This tenant is suspended.": ("该租户已被停用。", "該租戶已被停用。"),
    "Requests from this web page are not allowed.": ("不允许来自该网页的请求。", "不允許來自該網頁的請求。"),
    "This chat takes no visitors.": ("此聊天不接待访客。", "此聊天不接待訪客。"),
    "There is nothing at this address.": ("该地址不存在任何内容。", "該位址不存在任何內容。"),
    "There is no such model.": ("没有这个模型。", "沒有這個模型。"),
    "There is no such session.": ("没有这个会话。", "沒有這個會話。"),
    "There is no such summary.": ("没有这份摘要。", "沒有這份摘要。"),
    "The tenant has chosen no model for summaries.": ("该租户没有选择摘要模型。", "該租戶沒有選擇摘要模型。"),
    "There is nothing to sum up yet.": ("还没有可以摘要的内容。", "還沒有可以摘要的內容。"),
    "The session was changed while it was summed up.": ("生成摘要时会话已被更改。", "產生摘要時會話已被更改。"),
    "The model made no summary.": ("模型没有给出摘要。", "模型沒有給出摘要。"),
    "There is no such turn.": ("没有这一轮对话。", "沒有這一輪對話。"),
    "This session has no such version, or it is no longer kept.": (
        "该会话没有这个版本，或该版本已不再保留。",
        "該會話沒有這個版本，或該版本已不再保留。",
    ),
    "There is no such snapshot.": ("没有这个快照。", "沒有這個快照。"),
    "There is a session of this id already.": ("已存在使用此标识的会话。", "已存在使用此識別碼的會話。"),
    "There is no such API key.": ("没有这个 API 密钥。", "沒有這個 API 金鑰。"),
    "There is no such member.": ("没有这个成员。", "沒有這個成員。"),
    "There is no such invitation.": ("没有这个邀请。", "沒有這個邀請。"),
    "There is no such address.": ("没有这个地址。", "沒有這個位址。"),
    "There is no such allowance.": ("没有这项额度。", "沒有這項額度。"),
    "There is no such plugin.": ("没有这个插件。", "沒有這個外掛。"),
    "There is no such tenant.": ("没有这个租户。", "沒有這個租戶。"),
    "This key is revoked.": ("该密钥已被吊销。", "該金鑰已被撤銷。"),
    "This key has ended.": ("该密钥已失效。", "該金鑰已失效。"),
    "This key may do more than you may give.": ("该密钥的权限超出您可授予的范围。", "該金鑰的權限超出您可授予的範圍。"),
    "Your role does not allow changing this member.": ("您的角色无权更改该成员。", "您的角色無權變更該成員。"),
    "This invitation is not open any more.": ("该邀请已不再有效。", "該邀請已不再有效。"),
    "It has been accepted: remove the member instead.": (
        "邀请已被接受：请改为移除该成员。",
        "邀請已被接受：請改為移除該成員。",
    ),
    "This model is switched off.": ("该模型已停用。", "該模型已停用。"),
    "This model is not in service yet: try again in a second.": (
        "该模型尚未投入服务，请稍后再试。",
        "該模型尚未投入服務，請稍後再試。",
    ),
    "This model is the platform's: its operators change it.": (
        "该模型属于平台，只能由平台运营者更改。",
        "該模型屬於平台，只能由平台營運者變更。",
    ),
    "Only an operator of the platform may do this.": (
        "只有平台运营者可以执行此操作。",
        "只有平台營運者可以執行此操作。",
    ),
    "This tenant is being taken off the platform.": ("该租户正在被移出平台。", "該租戶正在被移出平台。"),
    "This method is not allowed here.": ("此处不允许使用该方法。", "此處不允許使用該方法。"),
    "The resource was changed meanwhile.": ("该资源已被他人更改。", "該資源已被他人變更。"),
    "The turn was cancelled.": ("该轮对话已取消。", "該輪對話已取消。"),
    "The caller's own deadline has passed.": ("已超过调用方设定的期限。", "已超過呼叫方設定的期限。"),
    "Too many turns wait for this session.": ("该会话排队的轮次过多。", "該會話排隊的輪次過多。"),
    "The previous response was not found.": ("找不到上一个响应。", "找不到上一個回應。"),
    "This idempotency key was used with another request.": (
        "该幂等键已用于另一个请求。",
        "該冪等鍵已用於另一個請求。",
    ),
    "The first request with this idempotency key is still being answered.": (
        "使用该幂等键的首个请求仍在处理中。",
        "使用該冪等鍵的首個請求仍在處理中。",
    ),
    "Too many requests.": ("请求过于频繁。", "請求過於頻繁。"),
    "The budget is used up.": ("预算已用完。", "預算已用完。"),
    "The model's service failed.": ("模型服务出错。", "模型服務發生錯誤。"),
    "The model's service did not answer in time.": ("模型服务未能及时响应。", "模型服務未能及時回應。"),
    "The model's service asks to wait.": ("模型服务要求稍后再试。", "模型服務要求稍後再試。"),
    "The service is not available right now.": ("服务暂时不可用。", "服務暫時無法使用。"),
    "The turn was cut off before its end.": ("该轮对话在结束前中断。", "該輪對話在結束前中斷。"),
    "The audit journal cannot record this request right now.": (
        "审计日志暂时无法记录该请求。",
        "稽核日誌暫時無法記錄該請求。",
    ),
    "A store of the service cannot be reached right now.": ("服务的存储暂时无法访问。", "服務的儲存暫時無法存取。"),
    "A plugin that has to take part in this request did not do its work.": (
        "该请求必须经过的插件未能完成处理。",
        "該請求必須經過的外掛未能完成處理。",
    ),
    "The service is overloaded.": ("服务过载。", "服務超載。"),
}


def said(error: EngineError, language: str = ENGLISH) -> str:
    """The error's message in one of the languages of `wanted`."""
    if language == ENGLISH:
        return error.message
    texts = TEXTS.get(error.message)
    return texts[LANGUAGES.index(language)] if texts is not None else error.message


def wanted(named: object, header: bytes | None) -> str:
    """The first language we have of: the one the request names in its body, those of Accept-Language by their weight,
    English."""
    tags = [named, *ranked(header)] if isinstance(named, str) else ranked(header)
    for tag in tags:
        known = _known(tag)
        if known is not None:
            return known
    return ENGLISH


def ranked(header: bytes | None) -> list[str]:
    """The language tags of an Accept-Language header (RFC 9110, 12.5.4), the best first; without `*`, those that are
    refused (`q=0`) and nonsense."""
    if not header:
        return []
    found: list[tuple[float, str]] = []
    for item in header[:_LONGEST_HEADER].decode("latin-1").split(","):
        match = _RANGE.match(item)
        if match is not None and (weight := float(match[2] or 1)) > 0:
            found.append((-weight, match[1]))
    found.sort(key=lambda pair: pair[0])
    return [tag for _, tag in found]


def _known(tag: str) -> str | None:
    first, *others = tag.lower().split("-")
    if first == "en":
        return ENGLISH
    if first != "zh":
        return None
    if "hans" in others:  # the script counts before the region: zh-Hans-HK
        return "zh-hans"
    return "zh-hant" if _TRADITIONAL.intersection(others) else "zh-hans"
