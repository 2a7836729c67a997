"""Texts of errors in Korean."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "The request could not be served.": "요청을 처리할 수 없습니다.",
    "The request is not valid.": "요청이 올바르지 않습니다.",
    "The request is larger than allowed.": "요청이 허용된 크기를 초과했습니다.",
    "You belong to several tenants; say which.": "여러 테넌트에 속해 있습니다. 어느 테넌트인지 지정해 주세요.",
    "A code of your second factor is needed.": "2단계 인증 코드가 필요합니다.",
    "Too many failed attempts.": "실패한 시도가 너무 많습니다.",
    "The conversation is longer than the context window of the model.": "대화가 모델의 컨텍스트 창보다 깁니다.",
    "This is not supported.": "지원하지 않는 기능입니다.",
    "The model's service does not accept this request.": "모델 서비스가 이 요청을 받아들이지 않습니다.",
    "The request contains content that is not allowed.": "요청에 허용되지 않는 내용이 포함되어 있습니다.",
    "A valid API key or token is required.": "유효한 API 키 또는 토큰이 필요합니다.",
    "This credential does not allow the request.": "이 인증 정보로는 이 요청을 할 수 없습니다.",
    "Requests from this address are not allowed.": "이 주소에서 보낸 요청은 허용되지 않습니다.",
    "This tenant is suspended.": "이 테넌트는 정지되었습니다.",
    "Requests from this web page are not allowed.": "이 웹 페이지에서 보낸 요청은 허용되지 않습니다.",
    "This chat takes no visitors.": "이 채팅은 방문자를 받지 않습니다.",
    "There is nothing at this address.": "이 주소에는 아무것도 없습니다.",
    "There is no such model.": "해당 모델이 없습니다.",
    "There is no such session.": "해당 세션이 없습니다.",
    "There is no such summary.": "해당 요약이 없습니다.",
    "The tenant has chosen no model for summaries.": "테넌트가 요약용 모델을 선택하지 않았습니다.",
    "There is nothing to sum up yet.": "아직 요약할 내용이 없습니다.",
    "The session was changed while it was summed up.": "요약하는 동안 세션이 변경되었습니다.",
    "The model made no summary.": "모델이 요약을 만들지 않았습니다.",
    "There is no such turn.": "해당 턴이 없습니다.",
    "This session has no such version, or it is no longer kept.": (
        "이 세션에는 그 버전이 없거나 더 이상 보관되지 않습니다."
    ),
    "There is no such snapshot.": "해당 스냅샷이 없습니다.",
    "There is a session of this id already.": "이 ID의 세션이 이미 있습니다.",
    "There is no such API key.": "해당 API 키가 없습니다.",
    "There is no such member.": "해당 구성원이 없습니다.",
    "There is no such invitation.": "해당 초대가 없습니다.",
    "There is no such address.": "해당 주소가 없습니다.",
    "There is no such allowance.": "해당 할당량이 없습니다.",
    "There is no such plugin.": "해당 플러그인이 없습니다.",
    "There is no such tenant.": "해당 테넌트가 없습니다.",
    "This key is revoked.": "이 키는 폐기되었습니다.",
    "This key has ended.": "이 키는 만료되었습니다.",
    "This key may do more than you may give.": "이 키의 권한은 부여할 수 있는 범위를 넘습니다.",
    "Your role does not allow changing this member.": "현재 역할로는 이 구성원을 변경할 수 없습니다.",
    "This invitation is not open any more.": "이 초대는 더 이상 유효하지 않습니다.",
    "It has been accepted: remove the member instead.": "초대가 이미 수락되었습니다. 대신 구성원을 삭제해 주세요.",
    "This model is switched off.": "이 모델은 꺼져 있습니다.",
    "This model is not in service yet: try again in a second.": (
        "이 모델은 아직 서비스 중이 아닙니다. 1초 후에 다시 시도해 주세요."
    ),
    "This model is the platform's: its operators change it.": (
        "이 모델은 플랫폼의 것이므로 플랫폼 운영자만 변경할 수 있습니다."
    ),
    "Only an operator of the platform may do this.": "플랫폼 운영자만 이 작업을 할 수 있습니다.",
    "This tenant is being taken off the platform.": "이 테넌트는 플랫폼에서 제거되는 중입니다.",
    "This method is not allowed here.": "여기에서는 이 메서드가 허용되지 않습니다.",
    "The resource was changed meanwhile.": "그 사이에 리소스가 변경되었습니다.",
    "The turn was cancelled.": "턴이 취소되었습니다.",
    "The caller's own deadline has passed.": "호출자가 정한 기한이 지났습니다.",
    "Too many turns wait for this session.": "이 세션을 기다리는 턴이 너무 많습니다.",
    "The previous response was not found.": "이전 응답을 찾을 수 없습니다.",
    "This idempotency key was used with another request.": "이 멱등 키는 다른 요청에 사용되었습니다.",
    "The first request with this idempotency key is still being answered.": (
        "이 멱등 키를 사용한 첫 번째 요청이 아직 처리 중입니다."
    ),
    "Too many requests.": "요청이 너무 많습니다.",
    "The budget is used up.": "예산을 모두 사용했습니다.",
    "The model's service failed.": "모델 서비스에 오류가 발생했습니다.",
    "The model's service did not answer in time.": "모델 서비스가 제시간에 응답하지 않았습니다.",
    "The model's service asks to wait.": "모델 서비스가 대기를 요청했습니다.",
    "The service is not available right now.": "현재 서비스를 이용할 수 없습니다.",
    "The turn was cut off before its end.": "턴이 끝나기 전에 중단되었습니다.",
    "The audit journal cannot record this request right now.": "감사 저널이 현재 이 요청을 기록할 수 없습니다.",
    "A store of the service cannot be reached right now.": "현재 서비스의 저장소에 연결할 수 없습니다.",
    "The service is overloaded.": "서비스에 과부하가 걸렸습니다.",
    "A plugin that has to take part in this request did not do its work.": (
        "이 요청에 반드시 참여해야 하는 플러그인이 작업을 수행하지 않았습니다."
    ),
}
