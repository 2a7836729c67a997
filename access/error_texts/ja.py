"""Texts of errors in Japanese."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "The request could not be served.": "リクエストを処理できませんでした。",
    "The request is not valid.": "リクエストが正しくありません。",
    "The request is larger than allowed.": "リクエストのサイズが上限を超えています。",
    "You belong to several tenants; say which.": "複数のテナントに所属しています。どのテナントかを指定してください。",
    "A code of your second factor is needed.": "二要素認証のコードが必要です。",
    "Too many failed attempts.": "失敗した試行が多すぎます。",
    "The conversation is longer than the context window of the model.": (
        "会話がモデルのコンテキストウィンドウより長くなっています。"
    ),
    "This is not supported.": "この機能には対応していません。",
    "The model's service does not accept this request.": "モデルのサービスがこのリクエストを受け付けません。",
    "The request contains content that is not allowed.": "リクエストに許可されていない内容が含まれています。",
    "A valid API key or token is required.": "有効な API キーまたはトークンが必要です。",
    "This credential does not allow the request.": "この認証情報ではこのリクエストは許可されていません。",
    "Requests from this address are not allowed.": "このアドレスからのリクエストは許可されていません。",
    "This tenant is suspended.": "このテナントは停止されています。",
    "Requests from this web page are not allowed.": "このウェブページからのリクエストは許可されていません。",
    "This chat takes no visitors.": "このチャットは訪問者を受け付けていません。",
    "There is nothing at this address.": "このアドレスには何もありません。",
    "There is no such model.": "そのようなモデルはありません。",
    "There is no such session.": "そのようなセッションはありません。",
    "There is no such summary.": "そのような要約はありません。",
    "The tenant has chosen no model for summaries.": "テナントは要約用のモデルを選んでいません。",
    "There is nothing to sum up yet.": "要約できる内容がまだありません。",
    "The session was changed while it was summed up.": "要約中にセッションが変更されました。",
    "The model made no summary.": "モデルは要約を作成しませんでした。",
    "There is no such turn.": "そのようなターンはありません。",
    "This session has no such version, or it is no longer kept.": (
        "このセッションにそのバージョンはないか、すでに保存されていません。"
    ),
    "There is no such snapshot.": "そのようなスナップショットはありません。",
    "There is a session of this id already.": "この ID のセッションはすでに存在します。",
    "There is no such API key.": "そのような API キーはありません。",
    "There is no such member.": "そのようなメンバーはいません。",
    "There is no such invitation.": "そのような招待はありません。",
    "There is no such address.": "そのようなアドレスはありません。",
    "There is no such allowance.": "そのような割り当てはありません。",
    "There is no such plugin.": "そのようなプラグインはありません。",
    "There is no such tenant.": "そのようなテナントはありません。",
    "This key is revoked.": "このキーは失効しています。",
    "This key has ended.": "このキーは有効期限が切れています。",
    "This key may do more than you may give.": "このキーの権限は、あなたが付与できる範囲を超えています。",
    "Your role does not allow changing this member.": "あなたの役割ではこのメンバーを変更できません。",
    "This invitation is not open any more.": "この招待はもう有効ではありません。",
    "It has been accepted: remove the member instead.": (
        "招待はすでに承諾されています。代わりにメンバーを削除してください。"
    ),
    "This model is switched off.": "このモデルは停止されています。",
    "This model is not in service yet: try again in a second.": (
        "このモデルはまだ稼働していません。1 秒後にもう一度お試しください。"
    ),
    "This model is the platform's: its operators change it.": (
        "このモデルはプラットフォームのものです。変更できるのはその運営者です。"
    ),
    "Only an operator of the platform may do this.": "これを行えるのはプラットフォームの運営者だけです。",
    "This tenant is being taken off the platform.": "このテナントはプラットフォームから削除されている最中です。",
    "This method is not allowed here.": "ここではこのメソッドは許可されていません。",
    "The resource was changed meanwhile.": "その間にリソースが変更されました。",
    "The turn was cancelled.": "このターンはキャンセルされました。",
    "The caller's own deadline has passed.": "呼び出し元が設定した期限を過ぎました。",
    "Too many turns wait for this session.": "このセッションを待っているターンが多すぎます。",
    "The previous response was not found.": "前の応答が見つかりませんでした。",
    "This idempotency key was used with another request.": "この冪等キーは別のリクエストで使用されています。",
    "The first request with this idempotency key is still being answered.": (
        "この冪等キーを使った最初のリクエストはまだ処理中です。"
    ),
    "Too many requests.": "リクエストが多すぎます。",
    "The budget is used up.": "予算を使い切りました。",
    "The model's service failed.": "モデルのサービスでエラーが発生しました。",
    "The model's service did not answer in time.": "モデルのサービスが時間内に応答しませんでした。",
    "The model's service asks to wait.": "モデルのサービスが待つよう求めています。",
    "The service is not available right now.": "サービスは現在利用できません。",
    "The turn was cut off before its end.": "このターンは終わる前に中断されました。",
    "The audit journal cannot record this request right now.": "監査ジャーナルは現在このリクエストを記録できません。",
    "A store of the service cannot be reached right now.": "サービスのストアに現在接続できません。",
    "The service is overloaded.": "サービスが過負荷状態です。",
    "A plugin that has to take part in this request did not do its work.": (
        "このリクエストに必須のプラグインが処理を行いませんでした。"
    ),
}
